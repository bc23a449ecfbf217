import { type Arena, offsetIn } from '../tree/columns.ts';
import { encodeName } from '../util/name.ts';

/** Adds a name to an arena, as its length in one byte and its bytes. Returns its address. */
export function putName(arena: Arena, name: Uint8Array): number {
  const address = arena.take(1 + name.length);
  const page = arena.page(address);
  page[offsetIn(address)] = name.length;
  page.set(name, offsetIn(address) + 1);
  return address;
}

/** Adds a name that is text of util/name.ts. */
export function putText(arena: Arena, name: string): number {
  const { length } = name;
  if (Buffer.byteLength(name) !== length) return putName(arena, encodeName(name));
  const address = arena.take(1 + length);
  const page = arena.page(address);
  const start = offsetIn(address) + 1;
  page[start - 1] = length;
  for (let at = 0; at < length; at++) page[start + at] = name.charCodeAt(at);
  return address;
}

export function nameLengthAt(arena: Arena, address: number): number {
  return arena.page(address)[offsetIn(address)] ?? 0;
}

/** Copies the bytes of a name. Returns their number. */
export function copyName(arena: Arena, address: number, to: Buffer, at: number): number {
  const start = offsetIn(address) + 1;
  return arena.page(address).copy(to, at, start, start + nameLengthAt(arena, address));
}

/** Compares by bytes. */
export function compareNames(arena: Arena, one: number, other: number): number {
  const a = arena.page(one);
  const b = arena.page(other);
  const x = offsetIn(one) + 1;
  const y = offsetIn(other) + 1;
  return a.compare(b, y, y + (b[y - 1] ?? 0), x, x + (a[x - 1] ?? 0));
}
