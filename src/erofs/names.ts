import { type Arena, offsetIn } from '../tree/columns.ts';

/** Adds a name to an arena, as its length in one byte and its bytes. Returns its address. */
export function putName(arena: Arena, name: Uint8Array): number {
  const address = arena.take(1 + name.length);
  const page = arena.page(address);
  page[offsetIn(address)] = name.length;
  page.set(name, offsetIn(address) + 1);
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
  const [a, b] = [arena.page(one), arena.page(other)];
  const [x, y] = [offsetIn(one) + 1, offsetIn(other) + 1];
  return a.compare(b, y, y + (b[y - 1] ?? 0), x, x + (a[x - 1] ?? 0));
}
