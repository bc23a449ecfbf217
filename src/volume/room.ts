import type { LayerPlan } from '../oci/plan.ts';
import { ArtifactError } from '../util/error.ts';
import { formatSize } from '../util/size.ts';
import type { Collector } from './collector.ts';
import type { Disk, DiskUsage } from './contracts/store.ts';

/** How full the disk and the cache may get. Percent of the file system in use, as df counts it; sizes in bytes. */
export type Limits = {
  readonly cacheHigh: number;
  readonly cacheLow: number;
  readonly cacheMax?: number | undefined;
  readonly maxArtifactSize?: number | undefined;
};

export type Room = {
  /**
   * Makes room for what is still to come of the layers that a pull lacks, `remaining` bytes, and keeps it until
   * disposed. Collects down to the low mark when the high mark would be passed.
   *
   * @throws ArtifactError `unmountable` above the size an artifact may have; `exhausted`, naming need and room.
   */
  reserve(
    reference: string,
    all: readonly LayerPlan[],
    missing: readonly LayerPlan[],
    remaining: () => number,
    signal: AbortSignal,
  ): Promise<Disposable>;
  /** Collects down to the low mark if the disk or the cache is above the high one. */
  relieve(signal: AbortSignal): Promise<void>;
};

/** An unpacked layer takes its transferred bytes while it is unpacked, and about twice as many afterwards. */
const unpackedFactor = 3;

/** Bytes of the disk that a layer takes at its most. */
export function footprint({ form, descriptor }: LayerPlan): number {
  return descriptor.size * (form === 'file' ? 1 : unpackedFactor);
}

export function createRoom(
  world: { readonly disk: Disk; readonly collector: Collector },
  limits: Limits,
): Room {
  const { disk, collector } = world;
  const reservations = new Set<() => number>();
  const pending = (): number => [...reservations].reduce((sum, remaining) => sum + remaining(), 0);

  const fits = async (
    need: number,
    percent: number,
    ofMax: number,
    cacheBytes?: number,
  ): Promise<boolean> => {
    const usage = await disk.usage();
    const bytes = usage.usedBytes + need <= (capacity(usage) * percent) / 100;
    const inodes = usage.totalInodes === 0 || usage.usedInodes <= (usage.totalInodes * percent) / 100;
    if (!bytes || !inodes || limits.cacheMax === undefined) return bytes && inodes;
    return (cacheBytes ?? (await collector.cacheBytes())) + need <= limits.cacheMax * ofMax;
  };

  /** The disk with nothing of ours on it: what asks for more than that must not empty the cache in vain. */
  const withoutCache = async (): Promise<DiskUsage> => {
    const usage = await disk.usage();
    const bytes = Math.min(await collector.cacheBytes(), usage.usedBytes);
    return {
      ...usage,
      usedBytes: usage.usedBytes - bytes,
      availableBytes: usage.availableBytes + bytes,
    };
  };

  /** True once there is room below the high mark. */
  const make = async (need: number, signal: AbortSignal): Promise<boolean> => {
    if (await fits(need, limits.cacheHigh, 1)) return true;
    const low = limits.cacheLow / limits.cacheHigh;
    await collector.collect(left => fits(need, limits.cacheLow, low, left), signal);
    return fits(need, limits.cacheHigh, 1);
  };

  return {
    async reserve(reference, all, missing, remaining, signal) {
      const size = sizeOf(all);
      if (limits.maxArtifactSize !== undefined && size > limits.maxArtifactSize) {
        throw new ArtifactError(
          'unmountable',
          `${reference} has ${formatSize(size)}, and --max-artifact-size allows ${formatSize(limits.maxArtifactSize)}; raise it, or take a part by the attribute include`,
        );
      }
      const whole = missing.reduce((sum, layer) => sum + footprint(layer), 0);
      const need = remaining();
      if (!(await fits(need + pending(), limits.cacheHigh, 1))) {
        const most = await withoutCache();
        const room = (capacity(most) * limits.cacheHigh) / 100 - most.usedBytes;
        if (whole > room || whole > (limits.cacheMax ?? whole))
          throw new ArtifactError('exhausted', explain(reference, whole, 0, most, limits));
      }
      if (!(await make(need + pending(), signal))) {
        throw new ArtifactError('exhausted', explain(reference, need, pending(), await disk.usage(), limits));
      }
      reservations.add(remaining);
      return { [Symbol.dispose]: () => void reservations.delete(remaining) };
    },
    async relieve(signal) {
      await make(pending(), signal);
    },
  };
}

function sizeOf(layers: readonly LayerPlan[]): number {
  return layers.reduce((sum, layer) => sum + layer.descriptor.size, 0);
}

/** What df calls the size: blocks kept for root are nobody's. */
function capacity(usage: DiskUsage): number {
  return usage.usedBytes + usage.availableBytes;
}

/** Names the one limit that is in the way. */
function explain(reference: string, need: number, pending: number, usage: DiskUsage, limits: Limits): string {
  const { cacheHigh, cacheMax } = limits;
  const room = Math.max(0, (capacity(usage) * cacheHigh) / 100 - usage.usedBytes - pending);
  const inodes = (100 * usage.usedInodes) / Math.max(1, usage.totalInodes);
  const limit =
    need > room
      ? `its disk has room for ${formatSize(room)} below --cache-high (${cacheHigh})`
      : inodes > cacheHigh || cacheMax === undefined
        ? `${inodes.toFixed(0)} of 100 inodes of its disk are in use, above --cache-high (${cacheHigh})`
        : `it may have ${formatSize(cacheMax)} in all (--cache-max)`;
  return `${reference} needs ${formatSize(need)} more of the cache, and ${limit}; collecting what no volume or pin holds is not enough: free space, unpin artifacts, or give the node more`;
}
