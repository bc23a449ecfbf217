/** The part of a blob that a 206 contains: first and last byte, and the total size if the server knows it. */
export type ContentRange = {
  readonly first: number;
  readonly last: number;
  readonly total: number | undefined;
};

/** Returns undefined for anything but one range of bytes (RFC 9110, 14.4). */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || Number(last) < Number(first)) return undefined;
  return { first: Number(first), last: Number(last), total: total === '*' ? undefined : Number(total) };
}
