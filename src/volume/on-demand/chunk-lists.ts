import { chunksAnnotation, maxChunkListBytes, parseChunkList } from '../../oci/chunk-list.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { chunkListType, type LayerPlan } from '../../oci/plan.ts';
import type { LateList } from '../../ports/late-views.ts';
import { doAll } from '../../util/abortable.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { quoteName } from '../../util/name.ts';
import { formatSize } from '../../util/size.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import { createMemorySink } from '../sinks/memory-sink.ts';

/** The lists of chunks that count: those that the manifest covers. */
export type ChunkLists = {
  /**
   * Fetches the lists of layers, by the digests of the layers. Whatever is wrong with one is logged, and its layer is
   * loaded as a whole. @throws the signal's reason.
   */
  fetch(
    viewPlan: Pick<ViewPlan, 'selected'>,
    layers: readonly LayerPlan[],
    content: AdmittedContent,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<Digest, LateList>>;
  /** From now on this list does not count. */
  distrust(list: Digest): void;
};

/** Lists of one artifact: enough for 4 TiB. They come before the mount. */
const mostBytes = 32 * 1024 ** 2;
/** Each is in memory while it is fetched. */
const atATime = 2;

/** @param which whether a manifest may cover lists. @param note logs why a layer is loaded as a whole. */
export function createChunkLists(which: 'none' | 'manifest', note: (text: string) => void): ChunkLists {
  const liars = new Set<Digest>();

  /** Returns the descriptor of the list that a layer names. */
  const find = (layer: LayerPlan, named: string, layers: readonly Descriptor[]): Descriptor => {
    const refuse = (why: string): ArtifactError => new ArtifactError('unmountable', why);
    const list = layers.find(({ digest, mediaType }) => digest === named && mediaType === chunkListType);
    if (list === undefined)
      throw refuse(
        `its annotation ${chunksAnnotation} is ${quoteName(named)}, and its manifest has no layer of the type ${chunkListType} with that digest`,
      );
    if (list.size > maxChunkListBytes)
      throw refuse(
        `its chunk list has ${formatSize(list.size)}, and ${formatSize(maxChunkListBytes)} are the most`,
      );
    if (liars.has(list.digest)) throw refuse(`its chunk list ${list.digest} lied before`);
    return list;
  };

  const verifyRanges = async (layer: LayerPlan, content: AdmittedContent, signal: AbortSignal) => {
    const { descriptor, label } = layer;
    const byte = createMemorySink({ ...descriptor, size: 1 });
    if ((await content.fetchPart({ descriptor, from: 0, to: 1 }, label, byte, signal)) === undefined)
      throw new ArtifactError('unavailable', 'its registry does not send ranges of blobs');
  };

  const fetchList = async (
    { descriptor, label }: LayerPlan,
    list: Descriptor,
    content: AdmittedContent,
    signal: AbortSignal,
  ): Promise<LateList> => {
    const sink = createMemorySink(list);
    if (list.data !== undefined) sink.write(list.data);
    else if (list.size > 0) await content.fetchBlob(list, `the chunk list of ${label}`, sink, signal);
    const bytes = sink.verified();
    const { chunkSize } = parseChunkList(bytes, descriptor);
    return { digest: list.digest, chunkSize, bytes };
  };

  return {
    async fetch({ selected }, layers, content, signal) {
      const lists = new Map<Digest, LateList>();
      const named = which === 'none' ? [] : layers.filter(layer => annotationOf(layer) !== undefined);
      let left = mostBytes;
      let ranges: Promise<void> | undefined;
      const fetchOne = async (layer: LayerPlan): Promise<void> => {
        try {
          const list = find(layer, annotationOf(layer) ?? '', selected.manifest.layers);
          if (list.size > left)
            throw new ArtifactError(
              'exhausted',
              `the chunk lists of its artifact have more than ${formatSize(mostBytes)}`,
            );
          left -= list.size;
          await (ranges ??= verifyRanges(layer, content, signal));
          lists.set(layer.descriptor.digest, await fetchList(layer, list, content, signal));
        } catch (thrown) {
          signal.throwIfAborted();
          note(`${layer.label} is loaded as a whole: ${toArtifactError(thrown).message}`);
        }
      };
      await doAll(named, atATime, fetchOne, signal);
      return lists;
    },
    distrust: list => void liars.add(list),
  };
}

function annotationOf({ descriptor }: LayerPlan): string | undefined {
  return descriptor.annotations[chunksAnnotation];
}
