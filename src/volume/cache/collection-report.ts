import type { Pruned } from '../../ports/usecases.ts';
import { formatSize } from '../../util/size.ts';
import type { Collector } from './collector.ts';

/** What a garbage collection removed, for the log. `references`: those that the cache no longer has, the first of many. */
export type CollectionReport = Pick<Pruned, 'artifacts' | 'bytes'> & {
  readonly references: readonly string[];
};

/** How many references one line of the log names. */
const mostNamed = 20;

/**
 * The same collector, which reports each collection that frees something. Nobody asked for that collection, so an
 * operator who misses an artifact has no other trace of it. The line says why: which mark was passed.
 */
export function reportCollections(
  collector: Collector,
  report: (found: CollectionReport, text: string) => void,
): Pick<Collector, 'cacheBytes'> & {
  collect(...args: readonly [...Parameters<Collector['collect']>, why: string]): Promise<Pruned>;
} {
  return {
    cacheBytes: collector.cacheBytes,
    async collect(enough, signal, why) {
      const pruned = await collector.collect(enough, signal);
      const { artifacts, bytes, items } = pruned;
      if (items.length === 0) return pruned;
      const references = [...new Set(items.flatMap(({ reference }) => reference ?? []))].slice(0, mostNamed);
      report({ artifacts, bytes, references }, `garbage collection freed ${formatSize(bytes)}: ${why}`);
      return pruned;
    },
  };
}
