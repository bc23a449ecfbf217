import { createColumns } from './columns.ts';

/**
 * The last change of each name of a tree, and for each directory the time since when its content counts: older content
 * is hidden, at any depth, so hiding costs the same whatever it hides. Times are counted from 1. 0 is a name that is
 * hidden, or has never existed.
 */
export type Ages = {
  /** Starts a layer. */
  begin(): void;
  change(name: number): void;
  /** Whether this layer changed a name. */
  isOurs(name: number): boolean;
  /** Whether a name counts in its directory, given what is hidden above that. */
  counts(name: number, directory: number, above?: number): boolean;
  /** Returns since when the content of a directory counts, given what is hidden above it. */
  since(directory: number, above: number): number;
  /** Applies what is hidden in a directory to the directories below it. To be called before any query below it. */
  inherit(directory: number, below: number): void;
  /** Hides everything that lower layers have in a directory. */
  hideLower(directory: number): void;
  /** Hides the present content of a directory. */
  hideAll(directory: number): void;
  /** A new directory has nothing to hide. */
  start(directory: number): void;
  hide(name: number): void;
  /** Whether this layer hides a directory of the layers below. */
  isCovered(name: number, directory: number): boolean;
};

const [changedAt, sinceAt] = [0, 1];

export function createAges(): Ages {
  const times = createColumns(2);
  let now = 1;
  /** When this layer started. */
  let began = 1;
  /** For directories in which this layer hid content: since when their content counted before. */
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
