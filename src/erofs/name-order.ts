import { type Arena, offsetIn } from '../tree/columns.ts';
import { compareNames } from './names.ts';

/** The names that are sorted at once, and the steps of a merge between two yields. */
const batch = 1024;
/** The bytes of a name that a number can hold. */
const keyBytes = 6;

/**
 * Sorts names by their bytes, as entries of a directory are. Returns their positions in order. There may be a million:
 * it yields now and then.
 *
 * @param addresses of names that are all different.
 */
export function* sortNames(arena: Arena, addresses: readonly number[]): Generator<void, Uint32Array> {
  const { length } = addresses;
  const compare = yield* createComparison(arena, addresses);
  let order = new Uint32Array(length);
  for (let at = 0; at < length; at++) order[at] = at;
  for (let at = 0; at < length; at += batch) {
    order.subarray(at, at + batch).sort(compare);
    yield;
  }
  let other = new Uint32Array(length > batch ? length : 0);
  for (let width = batch; width < length; width *= 2) {
    for (let at = 0; at < length; at += 2 * width) yield* merge(order, other, at, width, compare);
    [order, other] = [other, order];
  }
  return order;
}

type Compare = (one: number, other: number) => number;

/** Merges two sorted parts that follow each other. */
function* merge(
  from: Uint32Array,
  to: Uint32Array,
  start: number,
  width: number,
  compare: Compare,
): Generator<void> {
  const middle = Math.min(start + width, from.length);
  const end = Math.min(start + 2 * width, from.length);
  let [left, right] = [start, middle];
  for (let at = start; at < end; at++) {
    const isLeft = left < middle && (right === end || compare(from[left] ?? 0, from[right] ?? 0) < 0);
    to[at] = from[isLeft ? left++ : right++] ?? 0;
    if (at % batch === 0) yield;
  }
}

/** Compares by a number of the first bytes after those that all names share, which nearly always decides. */
function* createComparison(arena: Arena, addresses: readonly number[]): Generator<void, Compare> {
  let shared = 255;
  const first = addresses[0] ?? 0;
  for (let at = 0; at < addresses.length; at++) {
    shared = sharedBytes(arena, first, addresses[at] ?? 0, shared);
    if (at % batch === 0) yield;
  }
  const keys = new Float64Array(addresses.length);
  for (let at = 0; at < addresses.length; at++) {
    keys[at] = keyOf(arena, addresses[at] ?? 0, shared);
    if (at % batch === 0) yield;
  }
  return (one, other) =>
    (keys[one] ?? 0) - (keys[other] ?? 0) || compareNames(arena, addresses[one] ?? 0, addresses[other] ?? 0);
}

function sharedBytes(arena: Arena, one: number, other: number, most: number): number {
  const a = arena.page(one);
  const b = arena.page(other);
  const x = offsetIn(one) + 1;
  const y = offsetIn(other) + 1;
  const end = Math.min(most, a[x - 1] ?? 0, b[y - 1] ?? 0);
  for (let at = 0; at < end; at++) if (a[x + at] !== b[y + at]) return at;
  return end;
}

/** A name without so many bytes counts as followed by zeros, which no name contains. */
function keyOf(arena: Arena, address: number, skip: number): number {
  const page = arena.page(address);
  const start = offsetIn(address) + 1;
  const end = start + (page[start - 1] ?? 0);
  let key = 0;
  for (let at = start + skip; at < start + skip + keyBytes; at++)
    key = key * 256 + (at < end ? (page[at] ?? 0) : 0);
  return key;
}
