import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Layers } from '../../ports/store.ts';
import type { Unpacker, UnpackSource } from '../../ports/unpacker.ts';
import type { LayerForm } from '../../tree/toc.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import type { Tenants } from '../../util/fair-slots.ts';
import { createFairSlots } from '../../util/fair-slots.ts';
import { createSharedTurns } from '../../util/mutex.ts';
import { quoteName } from '../../util/name.ts';
import type { DiskSpace } from '../cache/disk-space.ts';

/**
 * Unpacks the file of a tar layer into the cache in a form, once for all callers. Concurrency is bounded, and shared
 * fairly between tenants and registries.
 *
 * @throws ArtifactError `unmountable` naming the layer, its media type and the reason; `exhausted`.
 */
export type Unpacking = (
  source: UnpackSource,
  layer: LayerPlan,
  errand: {
    readonly content: { readonly registry: string };
    readonly tenants: Tenants;
    readonly form: LayerForm;
  },
  signal: AbortSignal,
) => Promise<void>;

/** Each unpacks with one thread, uncompresses with another, and may write small files with a third. */
const unpackShares = { total: 4, perTenant: 2 };

export function createUnpacking(
  layers: Layers,
  unpacker: Unpacker,
  room: Pick<DiskSpace, 'unpacking'>,
): Unpacking {
  const turns = createSharedTurns();
  const threads = createFairSlots(unpackShares);
  return async (source, layer, { content, tenants, form }, signal) => {
    const { digest } = layer.descriptor;
    using turn = await turns.take(digest, tenants, signal);
    if (await isStored(layers, digest, form)) return;
    using _thread = await threads.acquire(content.registry, turn.tenants, signal);
    using lease = room.unpacking(layer, signal);
    await using stage = await layers.stage(digest, form);
    const summary = await about(layer, unpacker.unpack(source, digest, { path: stage.path, form }, signal));
    await stage.commit(summary);
    lease.learn(summary);
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
