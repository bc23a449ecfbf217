/** Milliseconds in the largest unit that fits: `5s`, `12m`, `3h`, `40d`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

/** A digest for users: the algorithm and twelve hex digits, or all of it. */
export function formatDigest(digest: string, whole: boolean): string {
  if (whole) return digest;
  const colon = digest.indexOf(':');
  return digest.slice(0, colon + 13);
}

/** `1 volume`, `2 volumes`. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
