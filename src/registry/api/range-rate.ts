import { type FileState, sizeOf } from '../../util/growing-file.ts';

/** When a blob is asked for in ranges, and how. Times are in milliseconds. */
export type RangeRules = {
  /** How long a rate is measured. */
  readonly lookMs: number;
  /** The bytes per second of one connection that are fast enough: with more, this node is what limits. */
  readonly fast: number;
  /** The bytes, and the time, that must be left. */
  readonly leastLeft: number;
  readonly leastMs: number;
  /** The time that one range takes, and its bytes: each range is a request, with its redirects. */
  readonly rangeMs: number;
  readonly rangeBytes: readonly [least: number, most: number];
  readonly connections: number;
  /** How much faster they must be together than one was. */
  readonly gain: number;
  /** How long a host is not asked again for which it was of no use. */
  readonly restMs: number;
};

const MiB = 1024 * 1024;

export const usualRules: RangeRules = {
  lookMs: 300,
  fast: 256 * MiB,
  leastLeft: 64 * MiB,
  leastMs: 1_000,
  rangeMs: 500,
  rangeBytes: [8 * MiB, 64 * MiB],
  connections: 4,
  gain: 1.3,
  restMs: 10 * 60_000,
};

/** Calls back, once, with the bytes per second of a download that is slow and has much left. */
export function watchSlow(
  state: FileState,
  size: number,
  { lookMs, fast, leastLeft, leastMs }: RangeRules,
  onSlow: (rate: number) => void,
): Disposable {
  let before = { bytes: sizeOf(state), at: performance.now() };
  const look = (): void => {
    const now = { bytes: sizeOf(state), at: performance.now() };
    const rate = ((now.bytes - before.bytes) / (now.at - before.at)) * 1000;
    const hasBegun = before.bytes > 0;
    before = now;
    const left = size - now.bytes;
    if (hasBegun && rate > 0 && rate < fast && left >= Math.max(leastLeft, (rate * leastMs) / 1000))
      onSlow(rate);
  };
  return setInterval(look, lookMs);
}

/** Calls back if the parts together come not much faster than one connection did. */
export function watchGain(
  states: readonly FileState[],
  rate: number,
  rules: RangeRules,
  onNone: () => void,
): Disposable {
  const came = (): number => states.reduce((sum, state) => sum + sizeOf(state), 0);
  const looks: { readonly bytes: number; readonly at: number }[] = [];
  const look = (): void => {
    const now = { bytes: came(), at: performance.now() };
    // The first bytes come by connections that have just been opened.
    if (now.bytes > 0) looks.push(now);
    const [, from] = looks;
    if (from === undefined || looks.length !== 5) return;
    const together = ((now.bytes - from.bytes) / (now.at - from.at)) * 1000;
    if (together < rules.gain * rate) onNone();
  };
  return setInterval(look, rules.lookMs);
}
