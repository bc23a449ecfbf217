import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Ingest, Layers } from '../../ports/store.ts';
import type { Unpacker, UnpackSource } from '../../ports/unpacker.ts';
import type { LayerForm } from '../../tree/toc.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createFairSlots, type Shares } from '../../util/fair-slots.ts';
import { createSharedTurns } from '../../util/mutex.ts';
import { quoteName } from '../../util/name.ts';
import { sleep } from '../../util/sleep.ts';
import type { DiskSpace } from '../cache/disk-space.ts';
import type { EarlyUnpacking, UnpackedLayer } from './early-unpacking.ts';
import type { Errand } from './errand.ts';

export type Unpacking = {
  /**
   * Unpacks the file of a tar layer into the cache in a form, once for all callers. Concurrency is bounded, and shared
   * fairly between tenants and registries.
   *
   * @param early takes what was unpacked of it before it was verified.
   * @throws ArtifactError `unmountable` naming the layer, its media type and the reason; `exhausted`.
   */
  unpack(
    source: UnpackSource,
    layer: LayerPlan,
    errand: UnpackErrand,
    signal: AbortSignal,
    early?: EarlyUnpacking,
  ): Promise<void>;
  /** Unpacks a tar layer as it arrives; undefined if it is small, or does not arrive from its start on. */
  early(
    ingest: Ingest,
    layer: LayerPlan,
    errand: UnpackErrand,
    signal: AbortSignal,
  ): Promise<EarlyUnpacking | undefined>;
};

export type UnpackErrand = Pick<Errand, 'tenants' | 'form'> & {
  readonly content: Pick<Errand['content'], 'registry'>;
};

/** Each unpacks with one thread, uncompresses with another, and may write small files with a third. */
const unpackShares: Shares = { total: 4, perTenant: 2 };
/** Slots of their own, since a registry may be slow for hours. */
const earlyShares: Shares = { total: 2, perTenant: 1 };
/** A smaller layer is here before a thread has started. */
const leastEarly = 1024 * 1024;
/** ms. A layer that is here by then is unpacked afterwards: both at once took a fifth more CPU time. */
const earlyMs = 250;

export function createUnpacking(
  layers: Layers,
  unpacker: Unpacker,
  room: Pick<DiskSpace, 'unpacking'>,
): Unpacking {
  const turns = createSharedTurns();
  const threads = createFairSlots(unpackShares);
  const earlyThreads = createFairSlots(earlyShares);

  const unpackAside = async (
    source: UnpackSource,
    layer: LayerPlan,
    form: LayerForm,
    signal: AbortSignal,
    verified?: Promise<void>,
  ): Promise<UnpackedLayer> => {
    const { digest } = layer.descriptor;
    await using stack = new AsyncDisposableStack();
    const space = stack.use(room.unpacking(layer, signal, verified));
    const stage = stack.use(await layers.stage(digest, form));
    const into = { path: stage.path, form, grow: space.grow };
    const summary = await about(layer, unpacker.unpack(source, digest, into, signal));
    const kept = stack.move();
    return {
      async commit() {
        await stage.commit(summary);
        space.learn(summary);
      },
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  };

  return {
    async unpack(source, layer, { content, tenants, form }, signal, early) {
      const { digest } = layer.descriptor;
      using turn = await turns.take(digest, tenants, signal);
      if (await isStored(layers, digest, form)) return;
      const before = await early?.finish();
      if (before !== undefined) return await before.commit();
      using _thread = await threads.acquire(content.registry, turn.tenants, signal);
      await using unpacked = await unpackAside(source, layer, form, signal);
      await unpacked.commit();
    },
    async early(ingest, layer, { content, tenants, form }, signal) {
      const { size } = layer.descriptor;
      if (size < leastEarly || ingest.offset > 0) return undefined;
      const { createEarlyUnpacking } = await import('./early-unpacking.ts');
      return createEarlyUnpacking(
        ingest,
        size,
        {
          async slot(signal) {
            await sleep(earlyMs, signal);
            return await earlyThreads.acquire(content.registry, tenants, signal);
          },
          unpack: (source, verified, signal) => unpackAside(source, layer, form, signal, verified),
        },
        signal,
      );
    },
  };
}

/** Whether a layer is stored as a view needs it. Bodies serve for a tar, because other views are made of them. */
export function isStored(layers: Pick<Layers, 'has'>, digest: Digest, form: LayerForm): Promise<boolean> {
  return layers.has(digest, form === 'tar' ? undefined : form);
}

/** Adds to an error the layer's position in the artifact and its media type. */
async function about<T>({ label, descriptor }: LayerPlan, unpacking: Promise<T>): Promise<T> {
  try {
    return await unpacking;
  } catch (thrown) {
    const { code, message } = toArtifactError(thrown);
    if (code !== 'unmountable') throw thrown;
    const type = quoteName(descriptor.mediaType);
    throw new ArtifactError(code, `${label}, a ${type}, cannot be unpacked: ${message}`, thrown);
  }
}
