import type { TocEntry } from './toc.ts';

/** Checks whether all entries of a tar are a directory at a path, its content, and its parent directories. */
export type PathCheck = {
  /** @param parts the path of an entry, as parsed. */
  add(parts: readonly string[], kind: TocEntry['kind']): void;
  isBelow(): boolean;
};

export function createPathCheck(path: readonly string[]): PathCheck {
  let isBelow = true;
  let isThere = false;
  return {
    add(parts, kind) {
      const common = Math.min(parts.length, path.length);
      for (let at = 0; at < common; at++) if (parts[at] !== path[at]) isBelow = false;
      if (parts.length <= path.length && kind !== 'directory') isBelow = false;
      if (parts.length >= path.length) isThere = true;
    },
    isBelow: () => isBelow && isThere,
  };
}
