/** Bytes of a layer. */
export type ByteSpan = { readonly offset: number; readonly length: number };
export type HasBytes = (offset: number, length: number) => boolean;

export function overlap(one: ByteSpan, other: ByteSpan): boolean {
  return one.offset < other.offset + other.length && other.offset < one.offset + one.length;
}
