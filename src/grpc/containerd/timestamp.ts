import type { Timestamp } from '../wire/containerd/types/Timestamp.ts';

/** @param ms milliseconds since 1970. */
export function toTimestamp(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.floor((ms - seconds * 1000) * 1_000_000) };
}
