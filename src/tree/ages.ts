import { createColumns } from './columns.ts';

/**
 * When each name of a tree was changed last, and since when what is in a directory counts: what is older is hidden, at any
 * depth, so that hiding costs the same whatever it hides. Times are counted from 1. 0 is a name that is hidden, or has
 * never been.
 */
export type Ages = {
  /** A layer begins. */
  begin(): void;
  change(name: number): void;
  /** Whether a name was changed by this layer. */
  isOurs(name: number): boolean;
  /** Whether a name counts in its directory, given what is hidden above that. */
  counts(name: number, directory: number, above?: number): boolean;
  /** Since when what is in a directory counts, given what is hidden above it. */
  since(directory: number, above: number): number;
  /** What is hidden in a directory is hidden in those below it. Needed before anything is asked about one below. */
  inherit(directory: number, below: number): void;
  /** Hides all that lower layers have in a directory. */
  hideLower(directory: number): void;
  /** Hides all that is in a directory by now. */
  hideAll(directory: number): void;
  /** A directory that has never been has nothing to hide. */
  start(directory: number): void;
  hide(name: number): void;
  /** Whether a directory that the layers below show is hidden by this one. */
  isCovered(name: number, directory: number): boolean;
};

const [changedAt, sinceAt] = [0, 1];

export function createAges(): Ages {
  const times = createColumns(2);
  let now = 1;
  /** When this layer began. */
  let began = 1;
  /** Of directories in which this layer hid things: since when what is in them counted before. */
  const before = new Map<number, number>();

  const changed = (name: number): number => times.get(name, changedAt);
  const own = (directory: number): number => times.get(directory, sinceAt);
  const isOurs = (name: number): boolean => changed(name) >= began;
  const since: Ages['since'] = (directory, above) => Math.max(above, own(directory));

  function raise(directory: number, to: number): void {
    if (own(directory) >= to) return;
    if (own(directory) < began && to >= began) before.set(directory, own(directory));
    times.set(directory, sinceAt, to);
  }

  return {
    begin() {
      began = ++now;
      before.clear();
    },
    change: name => times.set(name, changedAt, ++now),
    isOurs,
    counts: (name, directory, above = 1) => changed(name) >= since(directory, above),
    since,
    inherit(directory, below) {
      raise(below, before.get(directory) ?? 0);
      raise(below, own(directory));
    },
    hideLower: directory => raise(directory, began),
    hideAll: directory => raise(directory, ++now),
    start: directory => times.set(directory, sinceAt, ++now),
    hide: name => times.set(name, changedAt, 0),
    isCovered(name, directory) {
      if (isOurs(name)) return false;
      return before.has(name) || changed(name) >= (before.get(directory) ?? Number.POSITIVE_INFINITY);
    },
  };
}
