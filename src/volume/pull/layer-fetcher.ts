import type { Descriptor } from '../../oci/descriptor.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Meter } from '../../ports/meter.ts';
import type { BlobPart, ServedBy, Sink } from '../../ports/registry.ts';
import type { Blobs, Layers } from '../../ports/store.ts';
import type { Unpacker } from '../../ports/unpacker.ts';
import type { LayerForm } from '../../tree/toc.ts';
import { toArtifactError } from '../../util/error.ts';
import { announcedOf } from '../../util/growing-file.ts';
import { createSharedTurns } from '../../util/mutex.ts';
import type { AdmittedReader } from '../access/admitted-content.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import { createHashingSink } from '../sinks/hashing-sink.ts';
import { createMemorySink } from '../sinks/memory-sink.ts';
import { metered } from '../sinks/metered-sink.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { Errand } from './errand.ts';
import { openRegistrySlots } from './registry-slots.ts';
import { createSmallLayers, isSmall, type SmallLayers } from './small-layers.ts';
import { createUnpacking, isStored } from './unpacking.ts';

export type LayerFetcher = {
  /** Whether the layer is cached as its plan needs it; a tar layer in this form, or as bodies. */
  isHeld(layer: LayerPlan, form: LayerForm): Promise<boolean>;
  /**
   * Fetches a layer into the cache in the form that its plan needs. If the layer is cached, and nothing else proves
   * that the repository has it, its bytes are downloaded and dropped. Callers of the same digest and registry share a
   * download. If the credential of the first is refused, the next continues with its own, from the byte that was
   * reached. Answers which endpoint served it; undefined if nothing was transferred.
   *
   * @throws ArtifactError `corrupt`, `not-found`, `unmountable`, `exhausted`, and errors of the registry.
   */
  bring(layer: LayerPlan, errand: Errand, signal: AbortSignal): Promise<ServedBy | undefined>;
  /** Fetches a part of a layer, which the sink verifies; undefined if the registry sends no ranges. */
  bringPart(
    layer: LayerPlan,
    part: Pick<BlobPart, 'from' | 'to'>,
    sink: Sink,
    errand: Errand,
    signal: AbortSignal,
  ): Promise<ServedBy | undefined>;
  /**
   * Bytes of an uncached layer that are on disk, from a download from `registry` that is in progress or was
   * interrupted.
   */
  progress(layer: LayerPlan, registry: string): number;
} & Pick<SmallLayers, 'bringTogether'>;

export function createLayerFetcher(
  world: {
    readonly blobs: Omit<Blobs, 'read'>;
    readonly reader: AdmittedReader;
    readonly layers: Layers;
    readonly unpacker: Unpacker;
    readonly meter: Meter;
    readonly room: Pick<DiskSpace, 'unpacking'>;
    /** Undefined: downloads have no bound. */
    readonly bandwidth: Bandwidth | undefined;
  },
  maxParallelDownloads: number,
): LayerFetcher {
  const { reader, blobs, layers, unpacker, meter, room, bandwidth } = world;
  // Per registry, so that one that stalls does not block others; and per tenant, so that requests to many registries do
  // not block other tenants.
  const slots = openRegistrySlots(maxParallelDownloads);
  // Held for the whole of a small blob, so that those that wait take no memory.
  const smallSlots = openRegistrySlots(smallsForOne * maxParallelDownloads);
  // Per registry, so that an endless response does not block callers of another registry, and a caller cannot complete
  // a download that only another may read. Per size, so that a manifest with a wrong size has a download of its own,
  // which fails.
  const downloads = createSharedTurns();
  const unpacking = createUnpacking(layers, unpacker, room);
  // Bounds open files. It is above the number of slots, because downloaded layers may wait for the disk.
  const works = openRegistrySlots(Math.max(32, 2 * maxParallelDownloads));
  // Complete layers stay until they are hashed, durable or unpacked, so that progress never decreases.
  const underWay = new Map<string, Pick<Sink, 'offset' | 'file'>>();

  const fill = async (
    sink: Sink,
    layer: LayerPlan,
    errand: Errand,
    signal: AbortSignal,
  ): Promise<ServedBy> => {
    const { content, tenants, came, isAwaited } = errand;
    const { descriptor, label } = layer;
    underWay.set(keyOf(descriptor, content.registry), sink);
    if (descriptor.size === 0) return content.shownBy;
    if (descriptor.data !== undefined) {
      sink.restart();
      sink.write(descriptor.data);
      return content.shownBy;
    }
    if (sink.offset === descriptor.size) {
      // The blob is complete, whoever downloaded it. The registry must still confirm that it is in this repository.
      return (await content.hasBlob(descriptor, signal)) ?? (await fetchProof(layer, errand, signal));
    }
    using _slot = isSmall(layer) ? undefined : await slots.acquire(content.registry, tenants, signal);
    using slowed = await bandwidth?.slow(descriptor.size - sink.offset, tenants, signal);
    const count = (bytes: number): void => {
      meter.bytesPulled(content.registry, bytes);
      came(layer, bytes);
    };
    const mayAdopt = layer.form === 'file'; // others are read again, after they were verified
    const counted = metered(sink, count, { allowance: slowed?.allowance, isAwaited, mayAdopt });
    return await content.fetchBlob(descriptor, label, counted, signal);
  };

  /** Downloads a cached layer, and keeps only its hash. */
  const fetchProof = async (layer: LayerPlan, errand: Errand, signal: AbortSignal): Promise<ServedBy> => {
    const { descriptor } = layer;
    const sink = errand.proofs.get(descriptor.digest) ?? createHashingSink(descriptor);
    errand.proofs.set(descriptor.digest, sink);
    const servedBy = await fill(sink, layer, errand, signal);
    errand.proofs.delete(descriptor.digest);
    sink.verified();
    return servedBy;
  };

  /** Proves that the repository has a cached layer. */
  const prove = async (
    layer: LayerPlan,
    errand: Errand,
    signal: AbortSignal,
  ): Promise<ServedBy | undefined> => {
    const { content } = errand;
    const [unproven] = await content.admitAll([{ kind: 'blob', descriptor: layer.descriptor }], signal);
    if (unproven === undefined) return undefined;
    const servedBy = await fetchProof(layer, errand, signal);
    content.note(layer.descriptor.digest, servedBy);
    return servedBy;
  };

  /** Downloads a layer into the form that its plan wants. A small blob has no partial file: it is asked for as a whole. */
  const fetchLayer = async (layer: LayerPlan, errand: Errand, signal: AbortSignal): Promise<ServedBy> => {
    const { form, descriptor } = layer;
    if (isSmall(layer)) {
      const sink = createMemorySink(descriptor);
      const servedBy = await fill(sink, layer, errand, signal);
      await blobs.put(descriptor.digest, sink.bytes);
      return servedBy;
    }
    await using ingest = await blobs.ingest(descriptor, errand.content.registry, signal);
    await using early =
      form === 'unpacked' ? await unpacking.early(ingest, layer, errand, signal) : undefined;
    const came: Errand['came'] = (of, bytes) => {
      if (bytes > 0) early?.arrived();
      errand.came(of, bytes);
    };
    let servedBy: ServedBy | undefined;
    for (let resumed = ingest.offset > 0; servedBy === undefined; resumed = false) {
      const filledBy = await fill(ingest, layer, { ...errand, came }, signal);
      try {
        await ingest.verify();
        servedBy = filledBy;
      } catch (thrown) {
        // The completed bytes of an earlier process may be wrong: it starts again once.
        if (!resumed || toArtifactError(thrown).code !== 'corrupt') throw thrown;
      }
    }
    if (form === 'file' || (form === 'detected' && !(await unpacker.isTar(ingest.path)))) {
      await ingest.commit();
      return servedBy;
    }
    // The transferred bytes of a tar are dropped once they are unpacked: they never become a blob.
    try {
      await unpacking.unpack({ path: ingest.path }, layer, errand, signal, early);
    } catch (thrown) {
      if (toArtifactError(thrown).code === 'exhausted') await ingest.drop(); // frees its bytes for others
      throw thrown;
    }
    await ingest.drop();
    return servedBy;
  };

  const isHeld: LayerFetcher['isHeld'] = async (layer, form) => {
    const { digest, size } = layer.descriptor;
    if (layer.form !== 'file' && (await isStored(layers, digest, form))) return true;
    // The manifest means a blob of another size, and this pod must not learn of the cached one.
    if (layer.form === 'unpacked' || (await blobs.size(digest)) !== size) return false;
    return layer.form === 'file' || !(await unpacker.isTar(blobs.path(digest)));
  };

  return {
    isHeld,
    ...createSmallLayers(world, smallSlots),
    async bring(layer, given, signal) {
      const { descriptor } = layer;
      const { content, tenants } = given;
      const { digest, size } = descriptor;
      const key = keyOf(descriptor, content.registry);
      using turn = await downloads.take(key, tenants, signal);
      const errand = { ...given, tenants: turn.tenants };
      using _work = await (isSmall(layer) ? smallSlots : works).acquire(
        content.registry,
        turn.tenants,
        signal,
      );
      try {
        if (await isHeld(layer, given.form)) return await prove(layer, errand, signal);
        const tar = layer.form === 'file' ? undefined : await layers.tar(digest);
        if (tar !== undefined || (layer.form !== 'file' && (await blobs.size(digest)) !== undefined)) {
          const servedBy = await prove(layer, errand, signal);
          const held = await content.admit({ kind: 'blob', descriptor }, signal);
          underWay.set(key, { offset: size });
          await unpacking.unpack(tar ?? { path: reader.path(held) }, layer, errand, signal);
          return servedBy;
        }
        const servedBy = await fetchLayer(layer, errand, signal);
        // Other pulls from this registry need not download it again to prove access.
        content.note(digest, servedBy);
        return servedBy;
      } finally {
        underWay.delete(key);
      }
    },
    async bringPart(layer, { from, to }, sink, { content, tenants, came }, signal) {
      using _slot = await slots.acquire(content.registry, tenants, signal);
      const count = (bytes: number): void => {
        meter.bytesPulled(content.registry, bytes);
        came(layer, bytes);
      };
      const { descriptor, label } = layer;
      return await content.fetchPart({ descriptor, from, to }, label, metered(sink, count), signal);
    },
    progress(layer, registry) {
      const { descriptor } = layer;
      const current = underWay.get(keyOf(descriptor, registry));
      if (current?.file !== undefined) return announcedOf(current.file.state);
      if (current !== undefined || isSmall(layer)) return current?.offset ?? 0;
      return blobs.partial(descriptor, registry);
    },
  };
}

/** Requests for small blobs that replace one download: they wait for answers, not for bandwidth. */
const smallsForOne = 4;
function keyOf({ digest, size }: Descriptor, registry: string): string {
  return `${digest} ${size} ${registry}`;
}
