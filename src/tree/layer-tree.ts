import type { Digest } from '../oci/digest.ts';
import { createPathSplitter, parseFilePath, parseTreePath, type TreePath } from '../oci/tree-path.ts';
import { ArtifactError } from '../util/error.ts';
import { nameLength, quoteName } from '../util/name.ts';
import { formatSize } from '../util/size.ts';
import { createMerge, type MergeBudget, type NodeNumber } from './merge.ts';
import { rootNumber } from './name-table.ts';
import type { Leaf } from './node-table.ts';
import { maxNameBytes, sizeOfNames, type TocEntry } from './toc.ts';
import { blobAttributes, type DirectoryNode, type LayerContent } from './tree.ts';

/** The merge of an artifact's layers into one tree, the lowest first. It cannot be used after a failure. */
export type TreeBuilder = {
  /** Adds a blob that is one file. @throws ArtifactError `unmountable` for an invalid path. */
  addFile(
    path: string,
    file: { readonly digest: Digest; readonly size: number; readonly label: string },
  ): void;
  /**
   * Starts a tar layer whose root is a directory of the tree. It must end before the next one starts.
   *
   * @param label names the layer in errors.
   */
  openTar(content: LayerContent, label: string, at?: readonly string[]): TarEntries;
  root(): DirectoryNode;
};

export type TarEntries = {
  /** Adds an entry, in the tar's order. @throws ArtifactError `unmountable`, naming layer and entry. */
  add(entry: TocEntry): void;
  /** The omitted parts of the layer, a message each, for the log. */
  notes(): readonly string[];
};

/**
 * The remaining budget of the trees of one artifact, over all layers: `spendNode` counts entries, and directories that
 * paths imply; `directories` those that the names of layers imply; `bytes` the names, targets and attributes of tars.
 */
export type TreeBudget = MergeBudget & { directories: number; bytes: number };

/** Enough for a million entries behind ordinary symlinks, and at most two seconds of work. */
const maxSteps = 20_000_000;
/** Twenty thousand layers, the most that a manifest can list, in directories five deep. */
const maxDirectories = 100_000;

/**
 * @param nodes the most entries and directories: a small archive can expand to much memory, and to many inodes on the
 *   disk.
 */
export function createTreeBudget(nodes = 1_000_000): TreeBudget {
  let left = nodes;
  return {
    steps: maxSteps,
    directories: maxDirectories,
    bytes: maxNameBytes,
    spendNode(label) {
      if (--left >= 0) return;
      throw refusal(
        label,
        'takes the artifact past the files and directories that all of its layers may have (--max-layer-entries)',
      );
    },
  };
}

/**
 * Starts a merge. Entries are applied in order, a later one replaces an earlier one, and a parent that is a symlink is
 * followed inside the tree. A hard link shares the body of the file that it names, an earlier one of its own layer or a
 * lower one. Refused are a path out of the root, a hard link to a missing file, a parent that is a file of the same
 * layer, and, in an artifact, a device, FIFO or socket. In an image these replace what was there, and are omitted.
 *
 * @param hidden called with files of an artifact that files of later layers hide.
 */
export function createTreeBuilder(
  kind: 'artifact' | 'image',
  budget: TreeBudget = createTreeBudget(),
  hidden: Few = createFew(),
): TreeBuilder {
  const merge = createMerge(kind, budget, hidden.add);

  function spendBytes(entry: TocEntry, label: string): void {
    budget.bytes -= sizeOfNames(entry);
    if (budget.bytes >= 0) return;
    throw refusal(label, `takes the artifact past ${formatSize(maxNameBytes)} of names and attributes`);
  }

  /** Resolves a hard link. Its file must exist: tar writes a file before the links to it. */
  function findLinked(base: NodeNumber, path: string, target: string, label: string): NodeNumber {
    parseTreePath(target, `${label}, hard link ${quoteName(path)}`); // refuses paths that lead out, except through symlinks
    // To the kernel, ".." after a symlink is the parent of its target, not of the symlink.
    const parts = target.split('/').filter(part => part !== '' && part !== '.');
    const found = merge.find(base, parts);
    if (found !== undefined && merge.kindOf(found) !== 'directory') return found;
    const why = found === undefined ? 'which is not there before it' : 'which is a directory';
    throw refusal(label, `${quoteName(path)} is a hard link to ${quoteName(target)}, ${why}`);
  }

  return {
    addFile(path, { digest, size, label }) {
      merge.begin(label);
      budget.spendNode(label);
      const parts = parseFilePath(path, label);
      budget.directories -= parts.length - 1;
      if (budget.directories < 0)
        throw refusal(
          label,
          'takes the artifact past the directories that the names of all its layers may need',
        );
      const source: LayerContent = { kind: 'blob', digest };
      const directory = merge.enter(rootNumber, parts.slice(0, -1), parts.at(-1));
      const file = { kind: 'file', source, body: 0, size, attributes: blobAttributes, layer: label } as const;
      merge.place(directory, parts.at(-1) ?? '', file);
    },

    openTar(source, label, at = []) {
      merge.begin(label);
      const base = merge.enter(rootNumber, at);
      const leftOut = createFew();
      const splitPath = createPathSplitter(label);

      /** Applies a whiteout; false for other names of AUFS, which have no meaning here. */
      function applyWhiteout({ above, name = '' }: TreePath): boolean {
        const path = [...above, name];
        if (path.some(part => part.startsWith('.wh..wh.') && part !== opaqueName)) return false;
        const hidden = name.slice(4);
        if (above.some(isReserved) || ['', '.', '..'].includes(hidden)) {
          const why = 'is no whiteout, yet has a name that is reserved for them (.wh.)';
          throw refusal(label, `${quoteName(path.join('/'))} ${why}`);
        }
        const directory = merge.enter(base, above);
        if (name === opaqueName) merge.hideAll(directory);
        else merge.hide(directory, hidden);
        return true;
      }

      return {
        add(entry) {
          budget.spendNode(label);
          spendBytes(entry, label);
          const path = splitPath(entry.path);
          const { above, name } = path;
          if (kind === 'image' && ((name !== undefined && isReserved(name)) || above.some(isReserved))) {
            if (!applyWhiteout(path)) leftOut.add(() => `AUFS metadata ${quoteName(entry.path)}`);
            return;
          }
          if (entry.kind === 'special') {
            const what = `${entry.what} ${quoteName(entry.path)}`;
            if (kind === 'artifact') throw refusal(label, `holds the ${what}, which an artifact cannot have`);
            leftOut.add(() => what);
          }
          if (entry.kind === 'directory') {
            const directory =
              name === undefined ? base : merge.makeDirectory(merge.enter(base, above, name), name);
            merge.describe(directory, entry);
          } else if (name === undefined) {
            throw refusal(label, `the root ${quoteName(entry.path)} is a ${entry.kind}, not a directory`);
          } else {
            const directory = merge.enter(base, above, name); // may replace a file by a directory, which no link has
            const what =
              entry.kind === 'link'
                ? findLinked(base, entry.path, entry.target, label)
                : toLeaf(entry, source, label);
            merge.place(directory, name, what);
          }
        },
        notes() {
          const list = leftOut.format();
          return list === undefined ? [] : [`${label}: left out ${list}`];
        },
      };
    },

    root: merge.root,
  };
}

function toLeaf(
  entry: Exclude<TocEntry, { kind: 'directory' | 'link' }>,
  source: LayerContent,
  layer: string,
): Leaf {
  switch (entry.kind) {
    case 'file': {
      const { body, size } = entry;
      return { kind: 'file', source, body, size, attributes: entry, layer };
    }
    case 'symlink': {
      const { target, mode, uid, gid, mtime } = entry;
      if (target === '' || target.includes('\0') || nameLength(target) > 4095) {
        const why = target === '' ? 'nothing' : `${quoteName(target)}, which no symlink can hold`;
        throw refusal(layer, `${quoteName(entry.path)} is a symlink to ${why}`);
      }
      return { kind: 'symlink', target, attributes: { mode, uid, gid, mtime }, layer };
    }
    case 'special':
      return { kind: 'special', layer };
  }
}

const opaqueName = '.wh..wh..opq';

function isReserved(name: string): boolean {
  return name.startsWith('.wh.');
}

function refusal(label: string, why: string): ArtifactError {
  return new ArtifactError('unmountable', `${label}: ${why}`);
}

/** Formats a list: the first three items by name, the rest as a number. */
export type Few = {
  /** `describe` is not called for items that are only counted. */
  add(describe: () => string): void;
  /** Returns undefined for an empty list. */
  format(): string | undefined;
};

const shown = 3;

export function createFew(): Few {
  const first: string[] = [];
  let count = 0;
  return {
    add(describe) {
      if (count++ < shown) first.push(describe());
    },
    format() {
      if (count === 0) return undefined;
      return `${first.join(', ')}${count > shown ? ` and ${count - shown} more` : ''}`;
    },
  };
}
