/** How many bytes of changes a node reads, so that whoever changes large objects often takes little of its time. */
export type ChangeRate = {
  /** Counts a change. Answers whether its namespace stays within the rate of one. */
  count(namespace: string | undefined, bytes: number): boolean;
  /** How long no more is to be read, so that all together stay within the rate of all, ms. */
  waitMs(): number;
};

/** Bytes in a second, and at once after a pause. */
type Rate = { readonly perSecond: number; readonly burst: number };
type Level = { bytes: number; at: number };

const kib = 1024;
/** The driver itself changes the status of prefetches, which is at most 100 KiB in a second. */
const ofNamespace: Rate = { perSecond: 128 * kib, burst: 8192 * kib };
/** A daemon parses 9 MiB in a second of objects with very many keys, and 200 MiB of others. */
const ofAll: Rate = { perSecond: 512 * kib, burst: 16_384 * kib };
/** Namespaces that are counted before those are forgotten that have been quiet. */
const mostCounted = 1024;

/** @param now milliseconds of a monotonic clock. */
export function createChangeRate(now: () => number = () => performance.now()): ChangeRate {
  const all: Level = { bytes: 0, at: now() };
  const levels = new Map<string, Level>();

  /** The bytes for which there was no time yet. */
  const fall = (level: Level, { perSecond }: Rate): number => {
    const at = now();
    level.bytes = Math.max(0, level.bytes - ((at - level.at) / 1000) * perSecond);
    level.at = at;
    return level.bytes;
  };

  return {
    count(namespace, bytes) {
      fall(all, ofAll);
      all.bytes += bytes;
      if (namespace === undefined) return true;
      if (levels.size >= mostCounted)
        for (const [name, level] of levels) if (fall(level, ofNamespace) === 0) levels.delete(name);
      const level = levels.get(namespace) ?? { bytes: 0, at: now() };
      levels.set(namespace, level);
      fall(level, ofNamespace);
      level.bytes += bytes;
      return level.bytes <= ofNamespace.burst;
    },
    waitMs: () => Math.max(0, ((fall(all, ofAll) - ofAll.burst) / ofAll.perSecond) * 1000),
  };
}
