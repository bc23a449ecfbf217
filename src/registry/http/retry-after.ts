/** More than any wait, and within the range of dates: it stands for all longer times. */
export const longestWaitMs: number = 365 * 24 * 3_600_000;

/**
 * Returns a Retry-After header in milliseconds from `now`: seconds or a date (RFC 9110, 10.2.3); 0 without one, at most
 * a year.
 */
export function parseRetryAfter(header: string | undefined, now: number): number {
  if (header === undefined) return 0;
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isNaN(ms) ? 0 : Math.min(Math.max(0, ms), longestWaitMs);
}
