import type { Digest } from './digest.ts';
import type { Attributes } from './toc.ts';

/** Where a file's bytes lie in the store: a whole blob, or one body of an unpacked layer. */
export type Source =
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'body'; readonly layer: Digest; readonly body: number };

/** A file takes its mode, owner and time from the inode in the store. `layer` is a label for errors. */
export type FileNode = {
  readonly kind: 'file';
  readonly source: Source;
  readonly size: number;
  readonly layer: string;
};
export type SymlinkNode = {
  readonly kind: 'symlink';
  readonly target: string;
  readonly attributes: Attributes;
  readonly layer: string;
};
export type DirectoryNode = {
  readonly kind: 'directory';
  readonly children: ReadonlyMap<string, TreeNode>;
  readonly attributes: Attributes;
  readonly layer: string;
};

/** A merged tree: what a pod sees. Names are single path components. */
export type TreeNode = DirectoryNode | FileNode | SymlinkNode;

/** A folder that no layer describes: the root of a file artifact, or a parent that only a path implies. */
export const plainAttributes: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };

/** What du would say of the tree: a body under several names is one inode and counts once. */
export function measureTree(root: DirectoryNode): { readonly bytes: number; readonly inodes: number } {
  const blobs = new Set<Digest>();
  const bodies = new Map<Digest, Set<number>>();
  let bytes = 0;
  let inodes = 1;
  const pending = [root];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const node of directory.children.values()) {
      if (node.kind === 'file' && !isFirst(node.source, blobs, bodies)) continue;
      inodes++;
      if (node.kind === 'directory') pending.push(node);
      if (node.kind === 'file') bytes += node.size;
    }
  }
  return { bytes, inodes };
}

function isFirst(source: Source, blobs: Set<Digest>, bodies: Map<Digest, Set<number>>): boolean {
  if (source.kind === 'blob') return addNew(blobs, source.digest);
  const known = bodies.get(source.layer) ?? new Set();
  bodies.set(source.layer, known);
  return addNew(known, source.body);
}

function addNew<T>(set: Set<T>, value: T): boolean {
  if (set.has(value)) return false;
  set.add(value);
  return true;
}
