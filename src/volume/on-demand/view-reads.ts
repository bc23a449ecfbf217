import type { ByteSpan } from './byte-span.ts';
import type { Crowd } from './crowd.ts';
import { createReads, type LayerReads, type ReadLimits } from './reads.ts';

/** What loads the bytes that reads wait for, and when bytes came last. `stale`: a read asked for bytes that are shown. */
type Loader = { ask(layer: number, bytes: ByteSpan): void; heardAt(): number; stale(): void };

/** The reads of one late view. They are there before the view is loaded. */
export type ViewReads = {
  open(layer: number, size: number): LayerReads;
  /** From now on this loads what they wait for. */
  loadBy(loader: Loader): void;
};

/** @param failed called for each read that fails. */
export function createViewReads(patienceMs: number, crowd: Crowd, failed: ReadLimits['failed']): ViewReads {
  let loading: Loader | undefined;
  const opened = new Map<number, LayerReads>();
  return {
    open(layer, size) {
      const heardAt = (): number => loading?.heardAt() ?? 0;
      const asked = (offset: number, length: number): void => loading?.ask(layer, { offset, length });
      const stale = (): void => loading?.stale();
      const reads = createReads(size, { patienceMs, heardAt, crowd, asked, failed, stale });
      opened.set(layer, reads);
      return reads;
    },
    loadBy(loader) {
      loading = loader;
      for (const [layer, reads] of opened) for (const bytes of reads.wanted()) loader.ask(layer, bytes);
    },
  };
}

/** The key of the landing of a layer, the same in each process of any version. */
export function landingKey(view: string, layer: number): string {
  return `${view} ${layer}`;
}
