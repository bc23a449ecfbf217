/** What a layer takes of the disk. */
export type Amount = { readonly bytes: number; readonly inodes: number };

/** Grants more room on the disk before it is taken; `written` is what was taken so far. @throws where there is none. */
export type Grow = (more: Amount, written: Amount) => Promise<void>;

/** The room of one layer. */
export type Growth = {
  /** Makes sure of room for so much in all. Undefined where it was granted already. @throws as the grant does. */
  reach(wanted: Amount, written: () => Amount): Promise<void> | undefined;
};

const MiB = 1024 * 1024;
/** A grant is a quarter of what there is already, within these bounds: a small layer asks for little, a large one seldom. */
const bounds = { bytes: [MiB, 64 * MiB], inodes: [256, 4096] } as const;

export function openGrowth(grow: Grow): Growth {
  const granted = { bytes: 0, inodes: 0 };

  const raise = (what: keyof Amount, wanted: number): number => {
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
