/** The bytes of a late file in tests: each word says where it is. */
export function patternAt(offset: number, length: number): Buffer {
  const start = offset - (offset % 4);
  const words = new Uint32Array(Math.ceil((offset + length - start) / 4));
  for (let nth = 0; nth < words.length; nth++) words[nth] = start / 4 + nth + 1;
  return Buffer.from(words.buffer).subarray(offset - start, offset - start + length);
}
