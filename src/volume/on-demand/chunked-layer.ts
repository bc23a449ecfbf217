import type { LayerPlan } from '../../oci/plan.ts';
import type { LateChunks } from '../../ports/late-views.ts';
import type { ServedBy } from '../../ports/registry.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import type { Errand } from '../pull/errand.ts';
import type { LayerFetcher } from '../pull/layer-fetcher.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import { bringWhole } from './whole-layer.ts';

/** Brings the chunks of one layer, in any order, several at a time. */
export type ChunkedLayer = {
  /** Brings a chunk and shows it. `heard`: called while something comes. */
  bring(chunk: number, errand: Errand, heard: () => void, signal: AbortSignal): Promise<void>;
  /** Verifies all of the layer, if all chunks are shown. Reads do not wait for that. */
  finish(errand: Errand, heard: () => void, signal: AbortSignal): Promise<void>;
};

export function createChunkedLayer(
  { source, room }: { readonly source: LayerFetcher; readonly room: Pick<DiskSpace, 'reserve'> },
  { reference, plan }: Pick<ViewPlan, 'reference' | 'plan'>,
  layer: LayerPlan,
  chunks: LateChunks,
): ChunkedLayer {
  const { digest, size } = layer.descriptor;
  let servedBy: ServedBy | undefined;
  let wholes = 0;

  const isHeld = (): Promise<boolean> => source.isHeld(layer, 'bodies');

  /**
   * Brings the blob beside the chunks: another pull has brought it, nothing sends chunks any more, or their digests are
   * lost. That the repository has it is proved, too.
   */
  const bringBlob = async (errand: Errand, heard: () => void, signal: AbortSignal): Promise<void> => {
    const remaining = (): number => size - source.progress(layer, errand.content.registry);
    wholes++;
    try {
      const isFirst = wholes === 1 && !(await isHeld());
      using _room = isFirst
        ? await room.reserve(reference, plan.layers, [layer], remaining, signal)
        : undefined;
      await bringWhole(source, layer, errand, heard, signal);
    } finally {
      wholes--;
    }
  };

  const bringChunk: ChunkedLayer['bring'] = async (number, errand, heard, signal) => {
    using chunk = chunks.open(number);
    const isAsked = chunks.isListed() && !(await isHeld());
    const came = isAsked ? await source.bringPart(layer, chunk, chunk, errand, signal) : undefined;
    if (came === undefined) {
      await bringBlob(errand, heard, signal);
      await chunk.copy();
    } else if (servedBy === undefined || came.mirrorOf === undefined) servedBy = came;
    await chunk.show();
  };

  return {
    async bring(chunk, errand, heard, signal) {
      if (!chunks.hasLied() && !chunks.isShown(chunk)) await bringChunk(chunk, errand, heard, signal);
    },
    async finish(errand, heard, signal) {
      const { content } = errand;
      if (!chunks.hasLied() && chunks.bytes() < size) return;
      using _hearing = setInterval(heard, 1_000).unref();
      await chunks.finish(signal);
      if (servedBy === undefined) await source.bring(layer, errand, signal);
      else content.note(digest, servedBy);
      await content.save();
    },
  };
}
