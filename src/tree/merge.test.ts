import assert from 'node:assert/strict';
import { test } from 'node:test';
import { merge, type Short, type Shown, show } from '../../test/support/oci/merging.ts';
import { atOnce } from '../../test/support/os/at-once.ts';
import { toDigest } from '../oci/digest.ts';
import { createTreeBuilder } from './layer-tree.ts';
import type { TocEntry } from './toc.ts';
import { type DirectoryNode, measureTree } from './tree.ts';

const digest = toDigest('sha256', 'e'.repeat(64));

test('no layers yield an empty directory, 0755 of root', () => {
  const root = createTreeBuilder('artifact').root();
  assert.deepEqual(show(root), {});
  assert.deepEqual(root.attributes, { mode: 0o755, uid: 0, gid: 0, mtime: 0n });
});

for (const [name, layers, shown] of [
  ['directories are joined', [[['d/a', 1]], [['d/b', 2]]], { d: { a: 1, b: 2 } }],
  ['the upper file is seen', [[['f', 1]], [['f', 2]]], { f: 2 }],
  ['a file hides a directory', [[['d/a', 1]], [['d', 2]]], { d: 2 }],
  ['a directory hides a file', [[['d', 1]], [['d/a', 2]]], { d: { a: 2 } }],
  [
    'a path through a symlink of a lower layer is followed',
    [['usr/lib/', 'lib -> usr/lib'], [['lib/x', 1]]],
    { usr: { lib: { x: 1 } }, lib: '-> usr/lib' },
  ],
  [
    'a directory of its own hides a symlink',
    [
      ['usr/lib/', 'lib -> usr/lib'],
      ['lib/', ['lib/x', 1]],
    ],
    { usr: { lib: {} }, lib: { x: 1 } },
  ],
  [
    'a symlink may lead to a directory of a lower layer',
    [[['data/a', 1]], ['l -> data', ['l/x', 2]]],
    { data: { a: 1, x: 2 }, l: '-> data' },
  ],
  [
    'a symlink may lead to a directory that comes later',
    [['l -> ../gone/data', ['l/x', 1], 'gone/data/', ['gone/data/y', 2]]],
    { l: '-> ../gone/data', gone: { data: { x: 1, y: 2 } } },
  ],
  [
    'a whiteout through a symlink hides what that leads to',
    [[['usr/lib/f', 1], 'lib -> usr/lib'], ['lib/.wh.f']],
    { usr: { lib: {} }, lib: '-> usr/lib' },
  ],
  ['a FIFO removes a file below it', [[['s', 1]], ['s |']], {}],
  ['a FIFO removes a directory below it', [[['d/x', 1]], ['d |']], {}],
  ['a FIFO removes a file of its own layer', [[['s', 1], 's |']], {}],
  ['what comes over a FIFO is seen', [['s |'], [['s', 1]]], { s: 1 }],
  ['a hard link to a FIFO is one, and as unseen', [[['l', 1]], ['s |', 'l = s']], {}],
  ['a hard link may be to a file of a lower layer', [[['d/f', 1]], ['g = d/f']], { d: { f: 1 }, g: 1 }],
  [
    'a hard link to a file that a whiteout removes afterwards keeps it',
    [[['f', 1]], ['g = f', '.wh.f']],
    { g: 1 },
  ],
  [
    'a directory that was a file for a while has nothing of before',
    [[['d/a', 1]], [['d/b', 2], ['d', 3], 'd/', ['d/c', 4]]],
    { d: { c: 4 } },
  ],
  [
    'a directory that comes back in a later layer has nothing of before',
    [[['d/e/a', 1]], ['.wh.d'], [['d/e/b', 2]]],
    { d: { e: { b: 2 } } },
  ],
  [
    'a whiteout after what its own layer has below the name',
    [[['d/e/a', 1]], [['d/e/b', 2], '.wh.d']],
    { d: { e: { b: 2 } } },
  ],
  [
    'an opaque mark after what its own layer has below',
    [
      [
        ['d/e/a', 1],
        ['d/b', 1],
      ],
      [['d/e/b', 2], 'd/.wh..wh..opq'],
    ],
    { d: { e: { b: 2 } } },
  ],
  ['a symlink hides a directory', [[['d/a', 1]], ['d -> e']], { d: '-> e' }],
  [
    'a whiteout hides a file of a lower layer',
    [
      [
        ['a', 1],
        ['b', 2],
      ],
      ['.wh.a'],
    ],
    { b: 2 },
  ],
  [
    'a whiteout hides a directory of a lower layer',
    [
      [
        ['d/a', 1],
        ['b', 2],
      ],
      ['.wh.d'],
    ],
    { b: 2 },
  ],
  ['a whiteout of nothing is nothing', [[['a', 1]], ['.wh.b', 'c/.wh.d']], { a: 1, c: {} }],
  ['a whiteout in the lowest layer is nothing', [['.wh.a', ['b', 1]]], { b: 1 }],
  [
    'a whiteout and a new directory: the lower one is hidden',
    [[['d/old', 1]], ['.wh.d', ['d/new', 2]]],
    { d: { new: 2 } },
  ],
  ['the same in the other order', [[['d/old', 1]], [['d/new', 2], '.wh.d']], { d: { new: 2 } }],
  ['a whiteout and a new file of the same layer: the file', [[['f', 1]], [['f', 2], '.wh.f']], { f: 2 }],
  [
    'an opaque directory shows its own layer alone',
    [
      [
        ['d/a', 1],
        ['d/e/b', 2],
      ],
      ['d/.wh..wh..opq', ['d/c', 3]],
    ],
    { d: { c: 3 } },
  ],
  [
    'an opaque directory hides what is in it of all lower layers',
    [[['d/a', 1]], [['d/b', 1]], ['d/.wh..wh..opq']],
    { d: {} },
  ],
  ['an opaque root', [[['a', 1]], ['.wh..wh..opq', ['b', 2]]], { b: 2 }],
  ['what a whiteout hid can come again', [[['a', 1]], ['.wh.a'], [['a', 3]]], { a: 3 }],
  ['hard links stay with the file of their own layer', [[['f', 1], 'g = f'], [['f', 2]]], { f: 2, g: 1 }],
] as const satisfies readonly (readonly [string, readonly (readonly Short[])[], Shown])[]) {
  test(`image: ${name}`, () => {
    assert.deepEqual(show(merge('image', ...layers)), shown);
  });
}

test('an implied directory keeps the attributes of the one below; a described one has its own', () => {
  const implied = merge('image', ['d/'], [['d/a', 1]]).children.get('d');
  assert.ok(implied?.kind === 'directory');
  assert.equal(implied.attributes.mode, 0o700);
  assert.equal(implied.layer, 'layer 1');
  const described = merge('image', [['d/a', 1]], ['d/']).children.get('d');
  assert.ok(described?.kind === 'directory');
  assert.equal(described.attributes.mode, 0o700);
  assert.equal(described.layer, 'layer 2');
});

const described: TocEntry = {
  kind: 'directory',
  path: 'd/e',
  mode: 0o711,
  uid: 1,
  gid: 2,
  mtime: 3n,
  xattrs: { 'user.a': 'b' },
};

function attributesAt(root: DirectoryNode, ...path: string[]) {
  let here = root;
  for (const name of path) {
    const next = here.children.get(name);
    assert.ok(next?.kind === 'directory', name);
    here = next;
  }
  const { mode, uid, gid, mtime, xattrs } = here.attributes;
  return { mode, uid, gid, mtime, xattrs };
}

const { kind: _kind, path: _path, ...ofDescribed } = described;
const plain = { mode: 0o755, uid: 0, gid: 0, mtime: 0n, xattrs: undefined };

for (const [name, upper] of [
  ['an opaque mark above it', ['d/.wh..wh..opq', ['d/e/f', 1]]],
  ['an opaque mark after it', [['d/e/f', 1], 'd/.wh..wh..opq']],
  ['a whiteout', ['.wh.d', ['d/e/f', 1]]],
  ['a whiteout after it', [['d/e/f', 1], '.wh.d']],
  ['a whiteout of its own', ['d/.wh.e', ['d/e/f', 1]]],
  ['a file in between', [['d', 1], 'd/', ['d/e/f', 1]]],
] as const satisfies readonly (readonly [string, readonly Short[]])[]) {
  test(`image: an implied directory keeps its attributes over ${name}`, () => {
    const root = merge('image', [described, ['d/e/old', 0]], upper);
    assert.deepEqual(show(root), { d: { e: { f: 1 } } });
    assert.deepEqual(attributesAt(root, 'd', 'e'), ofDescribed);
  });
}

test('image: a directory that was removed before its layer has default attributes', () => {
  const root = merge('image', [described], ['.wh.d'], [['d/e/f', 1]]);
  assert.deepEqual(attributesAt(root, 'd', 'e'), plain);
  const opaque = merge('image', [described], ['d/.wh..wh..opq'], [['d/e/f', 1]]);
  assert.deepEqual(attributesAt(opaque, 'd', 'e'), plain);
});

test('artifact: of two equal names the later one counts, and one blob may have two names', () => {
  const builder = createTreeBuilder('artifact');
  for (const [index, path] of ['a', 'w/b', 'a'].entries()) {
    builder.addFile(path, { digest, size: 3, label: `layer ${index + 1}` });
  }
  const tree = builder.root();
  const a = tree.children.get('a');
  assert.ok(a?.kind === 'file');
  assert.equal(a.layer, 'layer 3');
  assert.deepEqual(atOnce(measureTree(tree)), { bytes: 3, inodes: 3 });
});

for (const [name, layers, why] of [
  ['x and then x/y', [[['x', 1]], [['x/y', 2]]], /^"x" is a file in layer 1 and a directory in layer 2;/],
  ['x/y and then x', [[['x/y', 1]], [['x', 2]]], /^"x" is a directory in layer 1 and a file in layer 2;/],
  [
    'a/x -> b and then a/x/y',
    [['a/x -> b'], [['a/x/y', 2]]],
    /^"a\/x" is a symlink in layer 1 and a directory in layer 2;/,
  ],
] as const satisfies readonly (readonly [string, readonly (readonly Short[])[], RegExp])[]) {
  test(`artifact: ${name} is refused, and the error names both layers`, () => {
    assert.throws(() => merge('artifact', ...layers), { code: 'unmountable', message: why });
  });
}

test('artifact: whiteouts hide nothing', () => {
  assert.deepEqual(show(merge('artifact', [['a', 1]], [['.wh.a', 2]])), { a: 1, '.wh.a': 2 });
});

test('the longest possible path is merged and measured; a longer one, made by a symlink, is refused', () => {
  const deep = 'd/'.repeat(1920);
  const tree = merge('image', [deep], [deep]);
  assert.equal(atOnce(measureTree(tree)).inodes, 1921);
  assert.throws(() => merge('image', [deep, `s -> ${deep}`, ['s/x', 1]]), {
    code: 'unmountable',
    message: /^layer 1: the path .* is longer than 3840 bytes/,
  });
});

test('many file layers in one directory take linear time', () => {
  const builder = createTreeBuilder('artifact');
  const start = performance.now();
  for (let index = 0; index < 16_000; index++)
    builder.addFile(`w/f${index}`, { digest, size: 1, label: 'x' });
  assert.ok(performance.now() - start < 1000);
});
