import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../oci/digest.ts';
import { createTreeBuilder } from './layer-tree.ts';
import { subTree } from './sub-tree.ts';
import type { TocEntry } from './toc.ts';
import type { DirectoryNode } from './tree.ts';

const digest = toDigest('sha256', 'c'.repeat(64));
const attributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0n };

function file(path: string, body: number): TocEntry {
  return { kind: 'file', path, size: 1, body, sha256: '', ...attributes };
}

function symlink(path: string, target: string): TocEntry {
  return { kind: 'symlink', path, target, ...attributes };
}

function tree(...entries: TocEntry[]): DirectoryNode {
  const builder = createTreeBuilder('artifact');
  const layer = builder.openTar({ kind: 'bodies', digest }, 'a');
  entries.forEach(layer.add);
  return builder.root();
}

const model = tree(
  file('weights/v1/model.bin', 0),
  file('weights/v2/model.bin', 1),
  file('README', 2),
  symlink('current', 'weights/v2'),
  symlink('absolute', '/weights/v1'),
  symlink('weights/up', '../../../../weights/v1/model.bin'),
  symlink('loop', 'pool'),
  symlink('pool', './loop'),
  symlink('outside', '/etc/passwd'),
  symlink('weights/self', '.'),
  symlink('weights/v1/above', '/../README'),
);

/** Body numbers by path, which identify the files. */
function bodies(root: DirectoryNode): Record<string, number> {
  const found: Record<string, number> = {};
  for (const [name, node] of root.children) {
    if (node.kind === 'file') found[name] = node.body;
  }
  return found;
}

for (const [subPath, expected] of [
  ['weights/v1', { 'model.bin': 0 }],
  ['/weights//v2/', { 'model.bin': 1 }],
  ['current', { 'model.bin': 1 }],
  ['absolute', { 'model.bin': 0 }],
  ['weights/self/self/v1', { 'model.bin': 0 }],
  ['README', { README: 2 }],
  ['current/model.bin', { 'model.bin': 1 }],
  ['weights/up', { up: 0 }],
  ['weights/v1/above', { above: 2 }],
  ['.', { README: 2 }],
] as const) {
  test(`the subPath ${subPath} shows ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(bodies(subTree(model, subPath)), expected);
  });
}

test('a file as subPath is the only entry of its directory', () => {
  assert.deepEqual(bodies(subTree(model, 'README')), { README: 2 });
});

for (const [subPath, why] of [
  ['weights/v3', /no subPath "weights\/v3": there is no "v3", only "v1", "v2", "up", "self"$/],
  ['README/x', /"README" is a file/],
  ['loop', /circle/],
  ['outside', /there is no "etc", only "weights", "README"/],
] as const) {
  test(`the subPath ${subPath} is refused: ${why.source}`, () => {
    assert.throws(() => subTree(model, subPath), { code: 'unmountable', message: why });
  });
}

test('a missing subPath in a large directory lists the first names that exist', () => {
  const large = tree(...Array.from({ length: 30 }, (_, index) => file(`f${index}`, index)));
  assert.throws(() => subTree(large, 'x'), { message: /"f6", "f7" and 22 more$/ });
});

test('40 successive symlinks are followed, 41 are not', () => {
  const links = Array.from({ length: 41 }, (_, index) => symlink(`l${index + 1}`, `l${index}`));
  const chain = tree(symlink('l0', 'weights/v1'), file('weights/v1/model.bin', 0), ...links);
  assert.deepEqual(bodies(subTree(chain, 'l39')), { 'model.bin': 0 });
  assert.throws(() => subTree(chain, 'l40'), { code: 'unmountable', message: /circle/ });
});
