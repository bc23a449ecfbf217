/** Bytes of a layer. */
export type ByteSpan = { readonly offset: number; readonly length: number };
export type HasBytes = (offset: number, length: number) => boolean;

export function overlap(one: ByteSpan, other: ByteSpan): boolean {
  return one.offset < other.offset + other.length && other.offset < one.offset + one.length;
}

export function isWithin(inner: ByteSpan, outer: ByteSpan): boolean {
  return inner.offset >= outer.offset && inner.offset + inner.length <= outer.offset + outer.length;
}
