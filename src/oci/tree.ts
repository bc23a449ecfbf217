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
