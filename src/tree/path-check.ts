import { parseTreePath } from '../oci/tree-path.ts';
import type { TocEntry } from './toc.ts';

/** Checks whether all entries of a tar are a directory at a path, its content, and its parent directories. */
export type PathCheck = {
  add(entry: TocEntry): void;
  isBelow(): boolean;
};

/** @param label names the layer in errors. */
export function createPathCheck(path: readonly string[], label: string): PathCheck {
  let isBelow = true;
  let isThere = false;
  return {
    add(entry) {
      const parts = parseTreePath(entry.path, label);
      const common = Math.min(parts.length, path.length);
      if (path.slice(0, common).some((name, index) => parts[index] !== name)) isBelow = false;
      if (parts.length <= path.length && entry.kind !== 'directory') isBelow = false;
      if (parts.length >= path.length) isThere = true;
    },
    isBelow: () => isBelow && isThere,
  };
}
