import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toLayerTree } from '../../test/support/toc.ts';
import { toDigest } from './digest.ts';
import { createLayerTree, toFileTree, type LayerDirectory, type LayerTree } from './layer-tree.ts';
import type { TocEntry } from './toc.ts';
import { createTreeBudget } from './tree-budget.ts';

const digest = toDigest('sha256', 'd'.repeat(64));
const label = 'layer 1 of ghcr.io/acme/model:v1';
const attributes = { mode: 0o644, uid: 1, gid: 2, mtime: 3 };
const implied = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };

let bodies = 0;
function file(path: string): TocEntry & { kind: 'file' } {
  return { kind: 'file', path, size: 1, body: bodies++, sha256: '', ...attributes };
}
function directory(path: string): TocEntry {
  return { kind: 'directory', path, ...attributes };
}
function symlink(path: string, target: string): TocEntry {
  return { kind: 'symlink', path, target, ...attributes };
}
function link(path: string, target: string): TocEntry {
  return { kind: 'link', path, target };
}
function special(path: string): TocEntry {
  return { kind: 'special', path, what: 'character device' };
}

function layer(kind: 'artifact' | 'image', entries: readonly TocEntry[], at?: string[]): LayerTree {
  const toc = { digest, notes: ['a note'], entries };
  return toLayerTree(toc, at === undefined ? { kind, label } : { kind, label, at });
}

/** A tree as nested objects: bodies as numbers, symlinks as their targets. */
function show(directory: LayerDirectory): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  for (const [name, node] of directory.children) {
    if (node.kind === 'directory') shown[name] = show(node);
    else if (node.kind === 'symlink') shown[name] = `-> ${node.target}`;
    else shown[name] = node.source.kind === 'bodies' ? node.body : node.source.digest;
  }
  return shown;
}

function at(tree: LayerTree, ...path: string[]): LayerDirectory {
  let here = tree.root;
  for (const name of path) {
    const next = here.children.get(name);
    assert.ok(next?.kind === 'directory', `${name} is a directory`);
    here = next;
  }
  return here;
}

test('a file layer is one file, its directories made with 0755', () => {
  const tree = toFileTree('/w/model.bin', { digest, size: 7, label });
  assert.deepEqual(show(tree.root), { w: { 'model.bin': digest } });
  assert.deepEqual(at(tree, 'w').attributes, implied);
  assert.throws(() => toFileTree('..', { digest, size: 7, label }), { code: 'unmountable' });
});

test('entries keep their attributes, and parents that no entry describes are implied', () => {
  const a = file('a/b/c');
  const tree = layer('artifact', [a, directory('a/'), symlink('a/s', '../../x')]);
  assert.deepEqual(show(tree.root), { a: { b: { c: a.body }, s: '-> ../../x' } });
  assert.deepEqual(at(tree, 'a').attributes, attributes);
  assert.equal(at(tree, 'a').implied, false);
  assert.deepEqual(at(tree, 'a', 'b').attributes, implied);
  assert.equal(at(tree, 'a', 'b').implied, true);
  assert.deepEqual(tree.notes, ['a note']);
});

test('entries that are alike share their attributes, others have their own', () => {
  const other = { ...attributes, mtime: 4 };
  const marked = { ...attributes, xattrs: { 'user.a': 'b' } };
  const shown = [attributes, attributes, other, attributes, marked, attributes].map((own, index) => ({
    ...symlink(`${index}`, 'x'),
    ...own,
  }));
  const nodes = [...layer('image', shown).root.children.values()];
  const found = nodes.map(node => (node.kind === 'symlink' ? node.attributes : undefined));
  assert.deepEqual(found, [attributes, attributes, other, attributes, marked, attributes]);
  assert.equal(found[0], found[1]);
});

test("a tar's own root is the root of the tree, or of the directory it is unpacked at", () => {
  assert.deepEqual(layer('artifact', [directory('./')]).root.attributes, attributes);
  const a = file('./a');
  const tree = layer('artifact', [directory('./'), a, link('b', 'a')], ['x', 'y']);
  assert.deepEqual(show(tree.root), { x: { y: { a: a.body, b: a.body } } });
  assert.deepEqual(at(tree, 'x', 'y').attributes, attributes);
  assert.deepEqual(tree.root.attributes, implied);
});

test('a later entry replaces an earlier one, and a directory described twice keeps what is in it', () => {
  const [a, b, c, d] = [file('x'), file('x'), file('d/c'), file('f')] as const;
  const tree = layer('artifact', [
    a,
    b,
    directory('d'),
    c,
    directory('d'),
    d,
    directory('f'),
    symlink('x', 'y'),
  ]);
  assert.deepEqual(show(tree.root), { x: '-> y', d: { c: c.body }, f: {} });
});

test('a file replaces a whole directory of the same layer', () => {
  const a = file('d');
  assert.deepEqual(show(layer('artifact', [file('d/x'), a]).root), { d: a.body });
});

test('a hard link shares the body, links to links do too, and a replaced target changes nothing', () => {
  const [a, again] = [file('a'), file('a')] as const;
  const tree = layer('image', [a, link('b', './a'), link('d/c', '/b'), link('a', 'a'), again]);
  assert.deepEqual(show(tree.root), { a: again.body, b: a.body, d: { c: a.body } });
});

test('a hard link to a symlink is that symlink', () => {
  const tree = layer('artifact', [symlink('s', 'nowhere'), link('l', 's')]);
  assert.deepEqual(show(tree.root), { s: '-> nowhere', l: '-> nowhere' });
});

test('a parent that is a symlink is followed inside the layer', () => {
  const [a, b, c] = [file('lib/a'), file('abs/b'), file('up/c')] as const;
  const tree = layer('image', [
    directory('usr/lib'),
    symlink('lib', 'usr/lib'),
    symlink('abs', '/usr'),
    symlink('up', '../../../usr'),
    a,
    b,
    c,
    link('d', 'lib/a'),
  ]);
  assert.deepEqual(show(tree.root), {
    usr: { lib: { a: a.body }, b: b.body, c: c.body },
    lib: '-> usr/lib',
    abs: '-> /usr',
    up: '-> ../../../usr',
    d: a.body,
  });
});

test('a directory in the place of a symlink replaces it', () => {
  const a = file('lib/a');
  const tree = layer('image', [directory('usr'), symlink('lib', 'usr'), directory('lib/'), a]);
  assert.deepEqual(show(tree.root), { usr: {}, lib: { a: a.body } });
});

test('names that are not UTF-8 stay apart', () => {
  const [a, b] = [file('\udce9'), file('é')] as const;
  assert.deepEqual(show(layer('artifact', [a, b]).root), { '\udce9': a.body, é: b.body });
});

test('in an artifact, whiteouts are names like any other', () => {
  const [a, b] = [file('.wh.x'), file('d/.wh..wh..opq')] as const;
  const tree = layer('artifact', [a, b]);
  assert.deepEqual(show(tree.root), { '.wh.x': a.body, d: { '.wh..wh..opq': b.body } });
});

test('in an image, whiteouts are marks on their directory, whatever their kind and order', () => {
  const a = file('d/x');
  const tree = layer('image', [
    file('.wh.gone'),
    a,
    special('d/.wh..wh..opq'),
    directory('.wh.d'),
    file('e/.wh.f'),
  ]);
  assert.deepEqual(show(tree.root), { d: { x: a.body }, e: {} });
  assert.deepEqual([...tree.root.hides], ['gone', 'd']);
  assert.equal(at(tree, 'd').opaque, true);
  assert.deepEqual([...at(tree, 'e').hides], ['f']);
});

test('what an image cannot have is left out with a note', () => {
  const a = file('a');
  const tree = layer('image', [special('dev/null'), a, file('.wh..wh.plnk/1.2'), special('p'), special('q')]);
  assert.deepEqual(show(tree.root), { a: a.body });
  assert.equal(
    tree.notes[1],
    `${label}: left out character device "dev/null", AUFS metadata ".wh..wh.plnk/1.2", character device "p" and 1 more`,
  );
});

for (const [name, kind, entries, why] of [
  ['.. in a path', 'artifact', [file('a/../../b')], /"a\/\.\.\/\.\.\/b" leads out of its root/],
  ['a device in an artifact', 'artifact', [special('dev/x')], /the character device "dev\/x"/],
  ['a file as the root', 'artifact', [file('./')], /root "\.\/" is a file/],
  ['a symlink as the root', 'image', [symlink('/', 'x')], /root "\/" is a symlink/],
  [
    'a hard link to nothing',
    'image',
    [link('l', 'f')],
    /"l" is a hard link to "f", which is not in this layer/,
  ],
  ['a hard link to what comes later', 'artifact', [link('l', 'f'), file('f')], /not in this layer before it/],
  ['a hard link to itself alone', 'artifact', [link('l', 'l')], /not in this layer before it/],
  ['a hard link to a directory', 'artifact', [directory('d'), link('l', 'd')], /"d", which is a directory/],
  ['a hard link to the root', 'artifact', [link('l', '/')], /which is a directory/],
  ['a hard link to a special', 'image', [special('p'), link('l', 'p')], /not in this layer before it/],
  [
    'a hard link out of the root',
    'artifact',
    [link('l', '../../f')],
    /hard link "l": the path "\.\.\/\.\.\/f" leads out/,
  ],
  ['a file as a parent', 'artifact', [file('f'), file('f/x/y')], /"f\/x\/y" goes through the file at "f"/],
  [
    'a dangling symlink as a parent',
    'image',
    [symlink('s', 'gone'), file('s/x')],
    /symlink to "gone" at "s"/,
  ],
  [
    'symlinks in a circle as a parent',
    'image',
    [symlink('a', 'b'), symlink('b', 'a'), file('a/x')],
    /"a\/x" goes through/,
  ],
  ['a symlink to nothing', 'artifact', [symlink('s', '')], /"s" is a symlink to nothing/],
  ['a symlink with a NUL', 'artifact', [symlink('s', 'a\0b')], /which no symlink can hold/],
  ['a symlink of 4,096 bytes', 'artifact', [symlink('s', 'a'.repeat(4096))], /which no symlink can hold/],
  ['a whiteout of nothing', 'image', [file('d/.wh.')], /"d\/\.wh\." is no whiteout/],
  ['a whiteout of the parent', 'image', [file('d/.wh...')], /is no whiteout/],
  ['a whiteout as a parent', 'image', [file('.wh.d/x')], /is no whiteout/],
] as const) {
  test(`${name} is refused, naming layer and entry`, () => {
    assert.throws(() => layer(kind, entries), {
      code: 'unmountable',
      message: new RegExp(`^${RegExp.escape(label)}.*${why.source}`),
    });
  });
}

test('a million walks through the longest symlinks end with a refusal within seconds', () => {
  const deep = Array.from({ length: 1000 }, () => 'd').join('/');
  const chain = Array.from({ length: 30 }, (_, index) => symlink(`s${index + 1}`, `s${index}`));
  const entries = [
    directory(deep),
    symlink('s0', deep),
    ...chain,
    ...Array.from({ length: 200_000 }, () => file('s30/f')),
  ];
  const start = performance.now();
  assert.throws(() => layer('image', entries), { code: 'unmountable' });
  assert.ok(performance.now() - start < 5000);
});

test('50,000 entries become a tree in far less than a second', () => {
  const entries = Array.from({ length: 50_000 }, (_, index) =>
    file(`usr/share/d${index % 500}/file-${index}`),
  );
  const start = performance.now();
  layer('image', entries);
  assert.ok(performance.now() - start < 1000);
});

test('names, targets and attributes of all layers together are bounded: one layer may be listed many times', () => {
  const budget = createTreeBudget();
  const xattrs = { 'user.a': 'x'.repeat(30 * 1024 * 1024) };
  const path = 'p'.repeat(4000);
  const target = 't'.repeat(4000);
  const add = (entry: TocEntry): void =>
    createLayerTree(digest, { kind: 'artifact', label, budget }).add(entry);
  for (let copy = 0; copy < 4; copy++) add({ ...directory('d'), xattrs } as TocEntry);
  const left = budget.bytes;
  add(symlink(path.replaceAll('pp', 'p/'), target));
  assert.equal(left - budget.bytes, 8000);
  assert.throws(() => add({ ...directory('d'), xattrs } as TocEntry), {
    code: 'unmountable',
    message: `${label}: takes the artifact past 128 MiB of names and attributes`,
  });
});

test('folders that names of layers imply are bounded, all together', () => {
  const budget = createTreeBudget();
  const add = (nth: number): LayerTree =>
    toFileTree(`${nth}/${'a/'.repeat(999)}f`, { digest, size: 1, label, budget });
  for (let nth = 0; nth < 100; nth++) add(nth);
  assert.throws(() => add(100), { code: 'unmountable', message: /past the folders that the names/ });
});

const packed = (at: readonly string[], entries: readonly TocEntry[]): unknown =>
  show(toLayerTree({ digest, notes: [], entries }, { kind: 'artifact', label, at, packed: true }).root);

test('a packed directory comes out at its path, whether its names begin with the path or not', () => {
  const [one, two] = [file('w/m/one'), file('w/m/d/two')];
  const whole = { w: { m: { one: one.body, d: { two: two.body } } } };
  assert.deepEqual(packed(['w', 'm'], [directory('w/m'), one, two]), whole);
  const [inner, deeper] = [
    { ...one, path: 'one' },
    { ...two, path: './d/two' },
  ];
  assert.deepEqual(packed(['w', 'm'], [directory('./'), inner, deeper]), whole);
  assert.deepEqual(packed([], [inner, deeper]), whole.w.m);
  assert.deepEqual(packed(['w'], []), { w: {} });
});

test('a packed directory that has its own name inside, and more, is not taken for its path', () => {
  const [inside, beside] = [file('w/in'), file('beside')];
  assert.deepEqual(packed(['w'], [inside, beside]), { w: { w: { in: inside.body }, beside: beside.body } });
});

test('links of a packed directory resolve in it wherever it goes', () => {
  const one = file('one');
  const entries = [directory('d'), one, symlink('s', 'd'), link('s/two', 'one')];
  assert.deepEqual(packed(['w'], entries), { w: { d: { two: one.body }, one: one.body, s: '-> d' } });
});
