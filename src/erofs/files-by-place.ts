import type { Place } from './format.ts';
import type { InodeTable } from './inode-table.ts';

/** The files of an image by their place: several names of one place are one inode. At most 11 bytes a file. */
export type FilesByPlace = {
  /** Returns the inode of a place; undefined if it has none. */
  find(place: Place): number | undefined;
  add(place: Place, inode: number): void;
};

type Spot = Pick<Place, 'device' | 'block'>;

/** The share of slots in use. */
const maxLoad = 0.75;

export function createFilesByPlace(inodes: InodeTable): FilesByPlace {
  let slots = new Uint32Array(64);
  let used = 0;

  /** Returns the slot of a place, or the free one for it. A slot has an inode's number, plus 1. */
  function slotOf(place: Spot): number {
    let at = hash(place) & (slots.length - 1);
    for (let found = slots[at] ?? 0; found !== 0; found = slots[at] ?? 0) {
      if (inodes.hasPlace(found - 1, place)) return at;
      at = (at + 1) & (slots.length - 1);
    }
    return at;
  }

  function grow(): void {
    const before = slots;
    slots = new Uint32Array(2 * before.length);
    for (const found of before) if (found !== 0) slots[slotOf(inodes.read(found - 1))] = found;
  }

  return {
    find(place) {
      const found = slots[slotOf(place)] ?? 0;
      return found === 0 ? undefined : found - 1;
    },
    add(place, inode) {
      if (++used > maxLoad * slots.length) grow();
      slots[slotOf(place)] = inode + 1;
    },
  };
}

function hash({ device, block }: Spot): number {
  const mixed = Math.imul(block ^ Math.imul(device, 0x9e37_79b1), 0x85eb_ca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
