import type { LayerPlan } from '../../oci/plan.ts';
import type { Disk, DiskAmount, DiskUsage, LayerSizes } from '../../ports/disk.ts';
import type { UnpackDestination } from '../../ports/unpacker.ts';
import { ArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import type { Collector } from './collector.ts';
import {
  describePressure,
  describeShortage,
  inodesIn,
  type Limits,
  markAbove,
  roomIn,
} from './disk-marks.ts';

export type DiskSpace = {
  /**
   * Reserves space for the `remaining` bytes of the layers that a pull lacks, until disposed. Collects garbage down to
   * the low mark if the high mark would be passed. `remaining` is never negative: it would be room for others.
   *
   * @throws ArtifactError `unmountable` above the maximum size of an artifact; `exhausted` naming needed and available
   * space.
   */
  reserve(
    reference: string,
    all: readonly LayerPlan[],
    missing: readonly LayerPlan[],
    remaining: () => number,
    signal: AbortSignal,
  ): Promise<Disposable>;
  /**
   * Accounts for a layer while it is unpacked, until disposed.
   *
   * @param verified if its bytes are not verified: nothing is collected for them before.
   */
  unpacking(layer: LayerPlan, signal: AbortSignal, verified?: Promise<void>): UnpackingSpace;
  /** Collects garbage down to the low mark if the disk or the cache is above the high mark. */
  relieve(signal: AbortSignal): Promise<void>;
  /** Which mark the disk or the cache is above, and what follows from that; undefined if none. */
  pressure(): Promise<string | undefined>;
};

/** The disk space of a layer that is unpacked. */
export type UnpackingSpace = Disposable & {
  /** @throws ArtifactError `exhausted`; the next pull of the layer then asks for that much at once. */
  readonly grow: UnpackDestination['grow'];
  /** Its final size. */
  learn(summary: { readonly bytes: number; readonly bodies: number }): void;
};

/** Collects garbage. `why`: for the log. */
type Collect = (
  enough: (cacheBytes: number) => Promise<boolean>,
  signal: AbortSignal,
  why: string,
) => Promise<unknown>;

/** Milliseconds between two garbage collections for growing layers while there is space without them. */
const reliefEveryMs = 10_000;

export function createDiskSpace(
  world: {
    readonly disk: Disk;
    readonly collector: Pick<Collector, 'cacheBytes'> & { readonly collect: Collect };
    readonly layerSizes: LayerSizes;
  },
  limits: Limits,
): DiskSpace {
  const { disk, collector, layerSizes } = world;
  const { cacheHigh, cacheLow, diskMax, cacheMax } = limits;
  const reservations = new Set<() => number>();
  /** The layers that are being unpacked. */
  const growing = new Set<Reservation>();
  let relievedAt = -Infinity;

  const pending = (): DiskAmount => {
    const { bytes, inodes } = openNeed(growing);
    const kept = [...reservations].reduce((sum, remaining) => sum + Math.max(0, remaining()), 0);
    return { bytes: Math.max(0, kept + bytes), inodes };
  };

  /** Bytes that are written and do not belong to a layer of the cache yet. */
  const written = (): number =>
    growing.values().reduce((sum, { open, taken }) => sum + taken.bytes - open.bytes, 0);

  const fits = async (need: DiskAmount, percent: number, ofMax: number, held?: number): Promise<boolean> => {
    const usage = await disk.usage();
    if (need.bytes > roomIn(usage, percent) || need.inodes > inodesIn(usage, percent)) return false;
    if (cacheMax === undefined) return true;
    return (held ?? (await collector.cacheBytes())) + written() + need.bytes <= cacheMax * ofMax;
  };

  /** Disk usage without the cache. A request for more than that must not empty the cache in vain. */
  const withoutCache = async (): Promise<DiskUsage> => {
    const usage = await disk.usage();
    const bytes = Math.min(await collector.cacheBytes(), usage.usedBytes);
    return {
      ...usage,
      usedBytes: usage.usedBytes - bytes,
      availableBytes: usage.availableBytes + bytes,
    };
  };

  /** Bytes of the cache, where a limit of them makes that matter. */
  const cacheBytes = async (): Promise<number> => (cacheMax === undefined ? 0 : collector.cacheBytes());

  const causeOf = async (need: DiskAmount): Promise<string> => {
    const [usage, bytes] = [await disk.usage(), await cacheBytes()];
    const now = markAbove(usage, bytes, limits);
    const then = markAbove(usage, bytes + written(), limits, need);
    if (now !== undefined) return now.text;
    return `with ${formatSize(need.bytes)} that pulls need${then === undefined ? '' : `, ${then.text}`}`;
  };

  /** Collects garbage above the high mark. True if there is enough space then. */
  const make = async (need: DiskAmount, signal: AbortSignal): Promise<boolean> => {
    if (await fits(need, cacheHigh, 1)) return true;
    const low = cacheLow / cacheHigh;
    await collector.collect(
      left => fits(need, Math.min(cacheLow, cacheHigh), Math.min(low, 1), left),
      signal,
      await causeOf(need),
    );
    return fits(need, diskMax, 1);
  };

  const relieveSoon = (signal: AbortSignal): void => {
    if (performance.now() - relievedAt < reliefEveryMs) return;
    relievedAt = performance.now();
    make(pending(), signal).catch(() => {}); // `reserve` and `grow` report a lack of space
  };

  const refusal = async (
    subject: string,
    need: DiskAmount,
    kept: DiskAmount,
    usage?: DiskUsage,
  ): Promise<ArtifactError> =>
    new ArtifactError(
      'exhausted',
      describeShortage(subject, need, kept, usage ?? (await disk.usage()), limits),
    );

  return {
    async reserve(reference, all, missing, remaining, signal) {
      const size = sizeOf(all);
      if (limits.maxArtifactSize !== undefined && size > limits.maxArtifactSize) {
        throw new ArtifactError(
          'unmountable',
          `${reference} has ${formatSize(size)}, and --max-artifact-size allows ${formatSize(limits.maxArtifactSize)}; raise that limit, or select some of the layers with include`,
        );
      }
      if (remaining() < 0)
        throw new ArtifactError('internal', `${reference} would reserve ${remaining()} bytes of the disk`);
      const beyond = needBeyond(missing, layerSizes);
      const need = { bytes: remaining() + beyond.bytes, inodes: beyond.inodes };
      if (!(await fits(plus(need, pending()), cacheHigh, 1))) {
        const most = await withoutCache();
        const whole = missing.reduce((sum, layer) => sum + footprint(layer), beyond.bytes);
        if (whole > roomIn(most, diskMax) || whole > (cacheMax ?? whole))
          throw await refusal(reference, { ...need, bytes: whole }, nothing, most);
      }
      if (!(await make(plus(need, pending()), signal))) throw await refusal(reference, need, pending());
      reservations.add(remaining);
      return { [Symbol.dispose]: () => void reservations.delete(remaining) };
    },
    unpacking(layer, signal, verified) {
      const { digest, size } = layer.descriptor;
      const [taken, open] = [{ ...nothing }, { ...nothing }];
      const lease: Reservation = { taken, open, kept: footprint(layer) - size };
      growing.add(lease);
      return {
        async grow(more, alreadyWritten) {
          if (verified !== undefined && !(await fits(plus(pending(), more), cacheHigh, 1))) await verified;
          for (const what of ['bytes', 'inodes'] as const) {
            taken[what] += more[what];
            open[what] = Math.max(0, taken[what] - alreadyWritten[what]);
          }
          const isRoom = await fits(pending(), diskMax, 1);
          if (isRoom && !(await fits(pending(), cacheHigh, 1))) relieveSoon(signal);
          if (isRoom || (await make(pending(), signal))) return;
          layerSizes.set(digest, { ...taken });
          open.bytes = open.inodes = 0;
          throw await refusal(`layer ${digest}, as it is unpacked,`, more, pending());
        },
        learn: ({ bytes, bodies }) => layerSizes.set(digest, { bytes, inodes: bodies }),
        [Symbol.dispose]: () => void growing.delete(lease),
      };
    },
    async relieve(signal) {
      await make(pending(), signal);
    },
    async pressure() {
      const [usage, bytes] = await Promise.all([disk.usage(), cacheBytes()]).catch(() => []); // reported elsewhere
      return usage === undefined || bytes === undefined ? undefined : describePressure(usage, bytes, limits);
    },
  };
}

const nothing: DiskAmount = { bytes: 0, inodes: 0 };

function plus(one: DiskAmount, other: DiskAmount): DiskAmount {
  return { bytes: one.bytes + other.bytes, inodes: one.inodes + other.inodes };
}

function sizeOf(layers: readonly LayerPlan[]): number {
  return layers.reduce((sum, layer) => sum + layer.descriptor.size, 0);
}

/** While a layer is unpacked, it takes its transferred bytes and about twice as many unpacked. */
const unpackedFactor = 3;

/** The peak disk usage of a layer in bytes, estimated from its size. */
export function footprint({ form, descriptor }: LayerPlan): number {
  return descriptor.size * (form === 'file' ? 1 : unpackedFactor);
}

/** The reservation of a layer that is being unpacked. */
type Reservation = {
  /** Everything granted so far. Part of it may not be written yet. */
  readonly taken: { bytes: number; inodes: number };
  readonly open: { bytes: number; inodes: number };
  /** What its pull has reserved for it. */
  readonly kept: number;
};

/** What layers that are being unpacked need beyond what their pulls have reserved and what is written. */
function openNeed(growing: Iterable<Reservation>): DiskAmount {
  let [bytes, inodes] = [0, 0];
  for (const { open, taken, kept } of growing) {
    bytes += open.bytes - Math.min(kept, taken.bytes);
    inodes += open.inodes;
  }
  return { bytes, inodes };
}

/** What is known of layers beyond their estimated footprint. */
function needBeyond(layers: readonly LayerPlan[], sizes: LayerSizes): DiskAmount {
  let [bytes, inodes] = [0, 0];
  for (const layer of layers) {
    const { digest, size } = layer.descriptor;
    const known = layer.form === 'file' ? undefined : sizes.get(digest);
    bytes += Math.max(0, size + (known?.bytes ?? 0) - footprint(layer));
    inodes += known?.inodes ?? 1;
  }
  return { bytes, inodes };
}
