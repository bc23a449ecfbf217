import { createHash } from 'node:crypto';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { toDigest } from '../../../src/oci/digest.ts';
import type { EntryAttributes } from '../../../src/tree/toc.ts';
import {
  blobAttributes,
  type DirectoryNode,
  type FileNode,
  type SymlinkNode,
  type TreeNode,
} from '../../../src/tree/tree.ts';

/** Nodes of merged trees, built by hand. */
export const plain: EntryAttributes = { mode: 0o755, uid: 0, gid: 0, mtime: 1_000_000_000_123_456_789n };
const layer = 'layer 0';

export function directory(
  children: Readonly<Record<string, TreeNode>>,
  attributes: EntryAttributes = plain,
): DirectoryNode {
  return { kind: 'directory', children: new Map(Object.entries(children)), attributes, layer };
}

export function symlink(target: string, attributes: EntryAttributes = plain): SymlinkNode {
  return { kind: 'symlink', target, attributes, layer };
}

/** A file whose bytes are a whole blob. */
export function blobFile({ digest, size }: Descriptor): FileNode {
  return { kind: 'file', source: { kind: 'blob', digest }, body: 0, size, attributes: blobAttributes, layer };
}

/** The descriptor of bytes, by their sha256. */
export function describeBlob(bytes: Uint8Array): Descriptor {
  const digest = toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));
  return { mediaType: 'application/octet-stream', digest, size: bytes.length, annotations: {} };
}
