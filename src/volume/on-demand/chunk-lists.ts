import { chunksAnnotation, maxChunkListBytes, parseChunkList, readListedBlob } from '../../oci/chunk-list.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import type { Digest } from '../../oci/digest.ts';
import { chunkListType, type LayerPlan } from '../../oci/plan.ts';
import type { LateList } from '../../ports/late-views.ts';
import { doAll } from '../../util/abortable.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createFairSlots, type Shares } from '../../util/fair-slots.ts';
import { quoteName } from '../../util/name.ts';
import { formatSize } from '../../util/size.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { Errand } from '../pull/errand.ts';
import type { ViewPlan } from '../pull/view-plan.ts';
import { createMemorySink } from '../sinks/memory-sink.ts';

/** The lists of chunks that count: those that the manifest covers, and those that refer to it and are signed. */
export type ChunkLists = {
  /**
   * Fetches the lists of layers. Whatever is wrong with one is logged, and its layer is loaded as a whole. Few artifacts
   * have large lists in memory at a time: others wait until theirs are disposed of. @throws the signal's reason.
   */
  fetch(
    viewPlan: Pick<ViewPlan, 'selected' | 'reference'>,
    layers: readonly LayerPlan[],
    source: Pick<Errand, 'content' | 'tenants'>,
    signal: AbortSignal,
  ): Promise<FetchedLists>;
  /** From now on this list does not count. */
  distrust(list: Digest): void;
};

/** The lists of an artifact, by the digests of the layers. To be disposed of when they are no longer in memory. */
export type FetchedLists = Disposable & { readonly byLayer: ReadonlyMap<Digest, LateList> };

/** Lists of one artifact: enough for 4 TiB. They come before the mount. */
const mostBytes = 32 * 1024 ** 2;
/** Each is in memory while it is fetched. */
const atATime = 2;
/** Few artifacts have lists of more bytes: enough for 32 GiB in chunks of 4 MiB. */
const largeBytes = 256 * 1024;
/** Artifacts with larger ones. */
const largeShares: Shares = { total: 8, perRegistry: 2 };

/** @param which lists count. @param note logs why a layer is loaded as a whole. */
export function createChunkLists(
  which: 'none' | 'manifest' | 'signed',
  note: (text: string) => void,
): ChunkLists {
  const liars = new Set<Digest>();
  const larges = createFairSlots(largeShares);

  /** Returns the descriptor of the list that a layer names. */
  const find = (named: string, layers: readonly Descriptor[]): Descriptor => {
    const list = layers.find(({ digest, mediaType }) => digest === named && mediaType === chunkListType);
    if (list !== undefined) return list;
    throw refuse(
      `its annotation ${chunksAnnotation} is ${quoteName(named)}, and its manifest has no layer of the type ${chunkListType} with that digest`,
    );
  };

  /** @param left bytes that lists may still have. @throws `unmountable` or `exhausted` for a list that is not fetched. */
  const verifyUsable = ({ digest, size }: Descriptor, left: number): void => {
    if (size > maxChunkListBytes)
      throw refuse(
        `its chunk list has ${formatSize(size)}, and ${formatSize(maxChunkListBytes)} are the most`,
      );
    if (liars.has(digest)) throw refuse(`its chunk list ${digest} lied before`);
    if (size <= left) return;
    throw new ArtifactError(
      'exhausted',
      `the chunk lists of its artifact have more than ${formatSize(mostBytes)}`,
    );
  };

  const verifyRanges = async (layer: LayerPlan, content: AdmittedContent, signal: AbortSignal) => {
    const { descriptor, label } = layer;
    const byte = createMemorySink({ ...descriptor, size: 1 });
    if ((await content.fetchPart({ descriptor, from: 0, to: 1 }, label, byte, signal)) === undefined)
      throw new ArtifactError('unavailable', 'its registry does not send ranges of blobs');
  };

  const fetchList = async (
    list: Descriptor,
    label: string,
    content: AdmittedContent,
    signal: AbortSignal,
  ): Promise<Uint8Array> => {
    const sink = createMemorySink(list);
    if (list.data !== undefined) sink.write(list.data);
    else if (list.size > 0) await content.fetchBlob(list, `the chunk list of ${label}`, sink, signal);
    return sink.verified();
  };

  /** `takeRoom`: called with lists before any of them is fetched. */
  const fetchAll = async (
    { selected, reference }: Pick<ViewPlan, 'selected' | 'reference'>,
    layers: readonly LayerPlan[],
    content: AdmittedContent,
    takeRoom: (lists: readonly Descriptor[]) => Promise<void>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<Digest, LateList>> => {
    const lists = new Map<Digest, LateList>();
    if (which === 'none') return lists;
    let left = mostBytes;
    let ranges: Promise<void> | undefined;
    const attempt = async (label: string, work: () => Promise<void>): Promise<void> => {
      try {
        await work();
      } catch (thrown) {
        signal.throwIfAborted();
        note(`${label} is loaded as a whole: ${toArtifactError(thrown).message}`);
      }
    };
    const fetchBytes = async (list: Descriptor, label: string): Promise<Uint8Array> => {
      verifyUsable(list, left);
      left -= list.size;
      return await fetchList(list, label, content, signal);
    };
    const take = async (layer: LayerPlan, { digest }: Descriptor, bytes: Uint8Array): Promise<void> => {
      const { chunkSize } = parseChunkList(bytes, layer.descriptor);
      await (ranges ??= verifyRanges(layer, content, signal));
      lists.set(layer.descriptor.digest, { digest, chunkSize, bytes });
    };

    const named = layers.filter(layer => annotationOf(layer) !== undefined);
    const fetchNamed = (layer: LayerPlan): Promise<void> =>
      attempt(layer.label, async () => {
        const list = find(annotationOf(layer) ?? '', selected.manifest.layers);
        await take(layer, list, await fetchBytes(list, layer.label));
      });
    const names = new Set(named.map(annotationOf));
    const isNamed = ({ digest, mediaType }: Descriptor): boolean =>
      mediaType === chunkListType && names.has(digest);
    await takeRoom(selected.manifest.layers.filter(isNamed));
    await doAll(named, atATime, fetchNamed, signal);

    const others = layers.filter(layer => !lists.has(layer.descriptor.digest));
    if (which !== 'signed' || others.length === 0) return lists;
    const fetchSigned = (list: Descriptor): Promise<void> =>
      attempt(reference, async () => {
        const bytes = await fetchBytes(list, reference);
        const blob = readListedBlob(bytes);
        const layer = others.find(({ descriptor }) => descriptor.digest === blob);
        if (layer !== undefined && !lists.has(layer.descriptor.digest)) await take(layer, list, bytes);
      });
    await attempt(reference, async () => {
      const { findSignedLists } = await import('./signed-lists.ts');
      const found = await findSignedLists(selected.digest, content, note, signal);
      await takeRoom(found);
      await doAll(found, atATime, fetchSigned, signal);
    });
    return lists;
  };

  return {
    async fetch(viewPlan, layers, { content, tenants }, signal) {
      using stack = new DisposableStack();
      let bytes = 0;
      const takeRoom = async (lists: readonly Descriptor[]): Promise<void> => {
        const before = bytes;
        bytes += lists.reduce((sum, { size }) => sum + size, 0);
        if (before <= largeBytes && bytes > largeBytes)
          stack.use(await larges.acquire(content.registry, tenants, signal));
      };
      const byLayer = await fetchAll(viewPlan, layers, content, takeRoom, signal);
      const held = stack.move();
      return { byLayer, [Symbol.dispose]: () => held.dispose() };
    },
    distrust: list => void liars.add(list),
  };
}

const refuse = (why: string): ArtifactError => new ArtifactError('unmountable', why);

function annotationOf({ descriptor }: LayerPlan): string | undefined {
  return descriptor.annotations[chunksAnnotation];
}
