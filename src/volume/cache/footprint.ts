import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { LayerSizes } from '../../ports/store.ts';

/** What something takes of the disk. */
export type Need = { readonly bytes: number; readonly inodes: number };

/** An unpacked layer takes its transferred bytes while it is unpacked, and about twice as many afterwards. */
const unpackedFactor = 3;

/** Bytes of the disk that a layer takes at its most, as far as its size tells. */
export function footprint({ form, descriptor }: LayerPlan): number {
  return descriptor.size * (form === 'file' ? 1 : unpackedFactor);
}

/** The room that a layer takes as it is unpacked. */
export type Reservation = {
  /** All that was granted, and what of it may not be written yet. */
  readonly taken: { bytes: number; inodes: number };
  readonly open: { bytes: number; inodes: number };
  /** What its pull keeps for it. */
  readonly kept: number;
  readonly signal: AbortSignal;
};

/** The layers that are being unpacked, and what was learned of the size of those that were. */
export type Reservations = {
  begin(layer: LayerPlan, signal: AbortSignal): Reservation;
  find(digest: Digest): Reservation | undefined;
  end(digest: Digest): void;
  learn(digest: Digest, need: Need): void;
  /** What the leases need beside what their pulls keep and what is written. */
  open(): Need;
  /** Bytes that are written and belong to no layer of the cache yet. */
  written(): number;
  /** What is known of the layers beyond their footprint. */
  beyond(layers: readonly LayerPlan[]): Need;
};

/** @param learned the sizes, which outlive this process. */
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
