/** A wait before a retry. `tries`: the number of the next attempt and the total, if they are counted. */
export type Retry = {
  /** What is requested. */
  readonly subject: string;
  /** What failed. */
  readonly reason: string;
  readonly waitMs: number;
  readonly tries?: { readonly next: number; readonly most: number };
};

/** `retrying in 4 s (2 of 9): reg.example answered 503`. */
export function formatRetry({ reason, waitMs, tries }: Retry): string {
  const count = tries === undefined ? '' : ` (${tries.next} of ${tries.most})`;
  return `retrying in ${formatSeconds(waitMs)}${count}: ${reason}`;
}

/** `0.2 s`, `4 s`, `180 s`. */
export function formatSeconds(ms: number): string {
  return `${ms < 950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s`;
}

/** `1 h 2 min 3 s`, without what is 0. */
export function formatWait(ms: number): string {
  const units = [
    [3600, 'h'],
    [60, 'min'],
    [1, 's'],
  ] as const;
  let left = Math.ceil(ms / 1000);
  const parts = units.flatMap(([size, unit]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count === 0 ? [] : [`${count} ${unit}`];
  });
  return parts.join(' ');
}
