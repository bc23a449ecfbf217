import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { LayerSizes } from '../../ports/store.ts';

/** Disk usage, needed or taken. */
export type Need = { readonly bytes: number; readonly inodes: number };

/** While a layer is unpacked, it takes its transferred bytes and about twice as many unpacked. */
const unpackedFactor = 3;

/** The peak disk usage of a layer in bytes, estimated from its size. */
export function footprint({ form, descriptor }: LayerPlan): number {
  return descriptor.size * (form === 'file' ? 1 : unpackedFactor);
}

/** The reservation of a layer that is being unpacked. */
export type Reservation = {
  /** Everything granted so far. Part of it may not be written yet. */
  readonly taken: { bytes: number; inodes: number };
  readonly open: { bytes: number; inodes: number };
  /** What its pull has reserved for it. */
  readonly kept: number;
  readonly signal: AbortSignal;
};

/** The layers that are being unpacked, and the known sizes of those that were. */
export type Reservations = {
  begin(layer: LayerPlan, signal: AbortSignal): Reservation;
  find(digest: Digest): Reservation | undefined;
  end(digest: Digest): void;
  learn(digest: Digest, need: Need): void;
  /** What the reservations need beyond what their pulls have reserved and what is written. */
  open(): Need;
  /** Bytes that are written and do not belong to a layer of the cache yet. */
  written(): number;
  /** What is known of the layers beyond their estimated footprint. */
  beyond(layers: readonly LayerPlan[]): Need;
};

/** @param learned sizes that outlive this process. */
export function createReservations(learned: LayerSizes): Reservations {
  const leases = new Map<Digest, Reservation>();
  return {
    begin(layer, signal) {
      const { digest, size } = layer.descriptor;
      const none = { bytes: 0, inodes: 0 };
      const lease = { taken: { ...none }, open: { ...none }, kept: footprint(layer) - size, signal };
      leases.set(digest, lease);
      return lease;
    },
    find: digest => leases.get(digest),
    end: digest => void leases.delete(digest),
    learn: (digest, need) => learned.set(digest, { ...need }),
    open() {
      let [bytes, inodes] = [0, 0];
      for (const { open, taken, kept } of leases.values()) {
        bytes += open.bytes - Math.min(kept, taken.bytes);
        inodes += open.inodes;
      }
      return { bytes, inodes };
    },
    written: () => leases.values().reduce((sum, { open, taken }) => sum + taken.bytes - open.bytes, 0),
    beyond(layers) {
      let [bytes, inodes] = [0, 0];
      for (const layer of layers) {
        const { digest, size } = layer.descriptor;
        const known = layer.form === 'file' ? undefined : learned.get(digest);
        bytes += Math.max(0, size + (known?.bytes ?? 0) - footprint(layer));
        inodes += known?.inodes ?? 1;
      }
      return { bytes, inodes };
    },
  };
}
