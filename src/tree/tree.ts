import type { Digest } from '../oci/digest.ts';
import type { EntryAttributes } from './toc.ts';

/**
 * The source of a layer's files in the store, one value for all of them: a blob, a layer unpacked into bodies, or the
 * tar of a layer.
 */
export type LayerContent = { readonly kind: 'blob' | 'bodies' | 'tar'; readonly digest: Digest };

/**
 * `body` is the number of the file in the store; 0 for a blob. `layer` is a label for errors. In a view of hard links a
 * file has the attributes of its inode in the store: for a blob, the time is when it was stored.
 */
export type FileNode = {
  readonly kind: 'file';
  readonly source: LayerContent;
  readonly body: number;
  readonly size: number;
  readonly attributes: EntryAttributes;
  readonly layer: string;
};
export type SymlinkNode = {
  readonly kind: 'symlink';
  readonly target: string;
  readonly attributes: EntryAttributes;
  readonly layer: string;
};
export type DirectoryNode = {
  readonly kind: 'directory';
  readonly children: Children;
  readonly attributes: EntryAttributes;
  readonly layer: string;
};

/** The content of a directory by name, in any order. Each call may create a new node. */
export type Children = Iterable<readonly [name: string, node: TreeNode]> & {
  get(name: string): TreeNode | undefined;
  /** The nodes alone, which takes less than with their names. */
  values(): Iterable<TreeNode>;
};

/** A merged tree: what a pod sees. Names are single path components. */
export type TreeNode = DirectoryNode | FileNode | SymlinkNode;

/** A directory that no layer describes: the root of a file artifact, or a parent that a path implies. */
export const plainAttributes: EntryAttributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0n };

/** A layer that is a file. */
export const blobAttributes: EntryAttributes = { mode: 0o644, uid: 0, gid: 0, mtime: 0n };

/**
 * Returns what du would report of the tree: a body with several names is one inode and counts once. It yields now
 * and then.
 *
 * @param isCounted which files count.
 */
export function* measureTree(
  root: DirectoryNode,
  isCounted: (file: FileNode) => boolean = () => true,
): Generator<void, { readonly bytes: number; readonly inodes: number }> {
  const seen: Seen = { blob: new Map(), bodies: new Map(), tar: new Map() };
  let bytes = 0;
  let inodes = 1;
  let nodes = 0;
  const pending = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const node of directory.children.values()) {
      if (++nodes % batch === 0) yield;
      if (node.kind === 'file' && !(isCounted(node) && isFirst(node, seen))) continue;
      inodes++;
      if (node.kind === 'directory') pending.push(node);
      if (node.kind === 'file') bytes += node.size;
    }
  }
  return { bytes, inodes };
}

/** The nodes between two yields. */
const batch = 64;

type Seen = Readonly<Record<LayerContent['kind'], Map<Digest, NumberSet>>>;

function isFirst({ source, body }: FileNode, seen: Seen): boolean {
  const digests = seen[source.kind];
  let bodies = digests.get(source.digest);
  if (bodies === undefined) digests.set(source.digest, (bodies = createNumberSet()));
  return bodies.add(body);
}

/** A set of numbers that lie together, with a bit for each: a Set takes three hundred times as much. */
type NumberSet = { /** Answers whether it is new. */ add(value: number): boolean };

/** The bits of a number that are its position in a page. */
const pageBits = 12;

function createNumberSet(): NumberSet {
  const pages = new Map<number, Uint32Array>();
  return {
    add(value) {
      const key = Math.floor(value / 2 ** pageBits);
      let page = pages.get(key);
      if (page === undefined) pages.set(key, (page = new Uint32Array(2 ** (pageBits - 5))));
      const at = (value % 2 ** pageBits) >>> 5;
      const bit = 1 << (value & 31);
      const word = page[at] ?? 0;
      page[at] = word | bit;
      return (word & bit) === 0;
    },
  };
}
