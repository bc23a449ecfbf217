import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '../../test/support/os/at-once.ts';
import { toDigest } from '../oci/digest.ts';
import {
  blobAttributes,
  type DirectoryNode,
  type FileNode,
  measureTree,
  plainAttributes,
  type TreeNode,
} from './tree.ts';

const digest = toDigest('sha256', 'a'.repeat(64));
const other = toDigest('sha256', 'b'.repeat(64));

function directory(children: Record<string, TreeNode>): DirectoryNode {
  const map = new Map(Object.entries(children));
  return { kind: 'directory', children: map, attributes: plainAttributes, layer: 'a' };
}

function file(source: FileNode['source'], size: number, body = 0): FileNode {
  return { kind: 'file', source, body, size, attributes: blobAttributes, layer: 'a' };
}

test('an empty tree is one inode of 0 bytes', () => {
  assert.deepEqual(atOnce(measureTree(directory({}))), { bytes: 0, inodes: 1 });
});

test('bytes and inodes are counted as du counts them: a body with two names once', () => {
  const blob = { kind: 'blob', digest } as const;
  const tree = directory({
    a: file(blob, 10),
    b: file({ ...blob }, 10),
    c: file({ kind: 'blob', digest: other }, 5),
    d: directory({
      0: file({ kind: 'bodies', digest }, 7),
      1: file({ kind: 'bodies', digest }, 7, 1),
      2: file({ kind: 'bodies', digest }, 7, 1),
      3: file({ kind: 'bodies', digest: other }, 7, 1),
      link: { kind: 'symlink', target: '../a', attributes: plainAttributes, layer: 'a' },
    }),
  });
  assert.deepEqual(atOnce(measureTree(tree)), { bytes: 10 + 5 + 3 * 7, inodes: 1 + 2 + 1 + 3 + 1 });
});

test('bodies of any number and in any order are distinct', () => {
  const source = { kind: 'bodies', digest } as const;
  const numbers = [1_000_000, 31, 32, 0, 63, 64, 1, 999_999];
  const nodes = [...numbers, ...numbers].map((body, name) => [name, file(source, 1, body)] as const);
  assert.deepEqual(atOnce(measureTree(directory(Object.fromEntries(nodes)))), { bytes: 8, inodes: 9 });
});
