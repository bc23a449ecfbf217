import type { DiskAmount } from '../ports/disk.ts';
import type { UnpackDestination } from '../ports/unpacker.ts';

export type Grow = UnpackDestination['grow'];

/** The disk space of one layer. */
export type Growth = {
  /** Requests space for a total. Returns undefined if it was granted already. @throws as the grant does. */
  reach(wanted: DiskAmount, written: () => DiskAmount): Promise<void> | undefined;
};

const MiB = 1024 * 1024;
/** A grant is a quarter of the present size, within these bounds: a small layer requests little, a large one seldom. */
const bounds = { bytes: [MiB, 64 * MiB], inodes: [256, 4096] } as const;

export function openGrowth(grow: Grow): Growth {
  const granted = { bytes: 0, inodes: 0 };

  const raise = (what: keyof DiskAmount, wanted: number): number => {
    if (wanted <= granted[what]) return 0;
    const [least, most] = bounds[what];
    const before = granted[what];
    granted[what] = wanted + Math.min(most, Math.max(least, Math.ceil(wanted / 4)));
    return granted[what] - before;
  };

  return {
    reach({ bytes, inodes }, written) {
      const more = { bytes: raise('bytes', bytes), inodes: raise('inodes', inodes) };
      return more.bytes === 0 && more.inodes === 0 ? undefined : grow(more, written());
    },
  };
}
