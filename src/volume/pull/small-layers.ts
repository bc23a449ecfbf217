import { hash } from 'node:crypto';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Meter } from '../../ports/meter.ts';
import type { ArrivedBlob } from '../../ports/registry.ts';
import type { Blobs } from '../../ports/store.ts';
import type { FairSlots } from '../../util/fair-slots.ts';
import { createSharedTurns } from '../../util/mutex.ts';
import { createMemorySink } from '../sinks/memory-sink.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { Errand } from './errand.ts';

export type SmallLayers = {
  /**
   * Fetches small layers of one artifact together, each once, as far as the registry simply sends them and nothing
   * bounds their rate. Calls back with those that are in the cache. The others must be fetched one by one.
   *
   * @throws as `LayerFetcher.bring`, for the first of them.
   */
  bringTogether(
    layers: readonly LayerPlan[],
    errand: Errand,
    stored: OnStored,
    signal: AbortSignal,
  ): Promise<void>;
};

type OnStored = (layers: readonly LayerPlan[]) => Promise<void>;

/** @param slots one for each connection. */
export function createSmallLayers(
  world: {
    readonly blobs: Pick<Blobs, 'size' | 'put'>;
    readonly meter: Pick<Meter, 'bytesPulled'>;
    readonly bandwidth: Bandwidth | undefined;
  },
  slots: FairSlots,
): SmallLayers {
  const { blobs, meter, bandwidth } = world;
  // Per registry and artifact: the second caller finds that all is cached, and has to prove its access.
  const turns = createSharedTurns();

  return {
    async bringTogether(layers, { content, tenants: own }, stored, signal) {
      const { registry } = content;
      using turn = await turns.take(keyOf(layers, registry), own, signal);
      const { tenants } = turn;
      if (bandwidth?.isSlow(tenants) === true) return;
      const missing = new Map<string, LayerPlan>();
      for (const layer of layers) {
        const { digest } = layer.descriptor;
        if ((await blobs.size(digest)) === undefined) missing.set(digest, layer);
      }
      const descriptors = [...missing.values()].map(({ descriptor }) => descriptor);
      const take = async (arrived: readonly ArrivedBlob[]): Promise<void> => {
        meter.bytesPulled(
          registry,
          arrived.reduce((sum, blob) => sum + blob.bytes.length, 0),
        );
        for (const { descriptor, bytes, servedBy } of arrived) {
          await blobs.put(descriptor.digest, bytes);
          content.note(descriptor.digest, servedBy);
        }
        await stored(arrived.flatMap(({ descriptor }) => missing.get(descriptor.digest) ?? []));
      };
      const slot = (signal: AbortSignal): Promise<Disposable> => slots.acquire(registry, tenants, signal);
      await content.fetchBlobs({ descriptors, open: createMemorySink, slot, take }, signal);
    },
  };
}

/** Bytes up to which a layer is small: it is received into memory, and asked for as a whole. */
const smallBytes = 64 * 1024;
/** Fewer small layers are not worth connections of their own. */
const few = 16;

export function isSmall({ form, descriptor }: LayerPlan): boolean {
  return form === 'file' && descriptor.size <= smallBytes;
}

/** Chooses the layers that are fetched together; none if they are few. */
export function chooseSmall(missing: readonly LayerPlan[]): readonly LayerPlan[] {
  const small = missing.filter(
    layer => isSmall(layer) && layer.descriptor.size > 0 && layer.descriptor.data === undefined,
  );
  return small.length < few ? [] : small;
}

function keyOf(layers: readonly LayerPlan[], registry: string): string {
  const parts = layers.map(({ descriptor }) => `${descriptor.digest} ${descriptor.size}`);
  return hash('sha256', [registry, ...parts].join('\n'));
}
