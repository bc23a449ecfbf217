import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '../../test/support/at-once.ts';
import { layer, merge, show, type Short, type Shown } from '../../test/support/merging.ts';
import { toDigest } from './digest.ts';
import { toFileTree } from './layer-tree.ts';
import { mergeTrees } from './merge.ts';
import { measureTree } from './tree.ts';

const digest = toDigest('sha256', 'e'.repeat(64));

test('no layers are an empty directory, 0755 of root', () => {
  const root = atOnce(mergeTrees([], 'artifact'));
  assert.deepEqual(show(root), {});
  assert.deepEqual(root.attributes, { mode: 0o755, uid: 0, gid: 0, mtime: 0 });
});

for (const [name, layers, shown] of [
  ['directories are joined', [[['d/a', 1]], [['d/b', 2]]], { d: { a: 1, b: 2 } }],
  ['the upper file is seen', [[['f', 1]], [['f', 2]]], { f: 2 }],
  ['a file hides a directory', [[['d/a', 1]], [['d', 2]]], { d: 2 }],
  ['a directory hides a file', [[['d', 1]], [['d/a', 2]]], { d: { a: 2 } }],
  [
    'a directory hides a symlink, which is not followed',
    [['usr/lib/', 'lib -> usr/lib'], [['lib/x', 1]]],
    { usr: { lib: {} }, lib: { x: 1 } },
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

test('a directory that a layer only implies keeps the attributes of the one below; one it describes has its own', () => {
  const implied = merge('image', ['d/'], [['d/a', 1]]).children.get('d');
  assert.ok(implied?.kind === 'directory');
  assert.equal(implied.attributes.mode, 0o700);
  assert.equal(implied.layer, 'layer 1');
  const described = merge('image', [['d/a', 1]], ['d/']).children.get('d');
  assert.ok(described?.kind === 'directory');
  assert.equal(described.attributes.mode, 0o700);
  assert.equal(described.layer, 'layer 2');
});

test('artifact: the same name twice is the later one, and one blob may have two names', () => {
  const trees = ['a', 'w/b', 'a'].map((path, index) =>
    toFileTree(path, { digest, size: 3, label: `layer ${index + 1}` }),
  );
  const tree = atOnce(mergeTrees(trees, 'artifact'));
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
  test(`artifact: ${name} is refused, naming both layers`, () => {
    assert.throws(() => merge('artifact', ...layers), { code: 'unmountable', message: why });
  });
}

test('artifact: whiteouts hide nothing', () => {
  assert.deepEqual(show(merge('artifact', [['a', 1]], [['.wh.a', 2]])), { a: 1, '.wh.a': 2 });
});

test('layers are left as they are: merging them again gives the same', () => {
  const layers = [
    layer('image', 0, [['d/a', 1]]),
    layer('image', 1, ['.wh.d', ['d/b', 2]]),
    layer('image', 2, ['d/.wh.b']),
  ];
  const once = show(atOnce(mergeTrees(layers, 'image')));
  assert.deepEqual(once, { d: {} });
  assert.deepEqual(show(atOnce(mergeTrees(layers, 'image'))), once);
  assert.deepEqual(show(atOnce(mergeTrees(layers.slice(0, 2), 'image'))), { d: { b: 2 } });
});

test('the deepest path there can be is merged and measured; a deeper one, made by a symlink, is refused', () => {
  const deep = 'd/'.repeat(1920);
  const tree = merge('image', [deep], [deep]);
  assert.equal(atOnce(measureTree(tree)).inodes, 1921);
  assert.throws(() => merge('image', [deep, `s -> ${deep}`, ['s/x', 1]]), {
    code: 'unmountable',
    message: /^layer 1: the path .* is longer than 3840 bytes/,
  });
});

test('many file layers in one directory cost no more than linear time', () => {
  const layers = Array.from({ length: 16_000 }, (_, index) =>
    toFileTree(`w/f${index}`, { digest, size: 1, label: 'x' }),
  );
  const start = performance.now();
  atOnce(mergeTrees(layers, 'artifact'));
  assert.ok(performance.now() - start < 1000);
});
