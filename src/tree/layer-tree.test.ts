import assert from 'node:assert/strict';
import { test } from 'node:test';
import { show } from '../../test/support/oci/merging.ts';
import { cpuTime } from '../../test/support/os/cpu-time.ts';
import { toDigest } from '../oci/digest.ts';
import { createFew, createTreeBudget, createTreeBuilder } from './layer-tree.ts';
import type { TocEntry } from './toc.ts';
import { blobAttributes, type DirectoryNode } from './tree.ts';

const digest = toDigest('sha256', 'd'.repeat(64));
const label = 'layer 1 of ghcr.io/acme/model:v1';
const attributes = { mode: 0o644, uid: 1, gid: 2, mtime: 3n };
const implied = { mode: 0o755, uid: 0, gid: 0, mtime: 0n };

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

function build(kind: 'artifact' | 'image', entries: readonly TocEntry[], where: string[] = []) {
  const builder = createTreeBuilder(kind);
  const layer = builder.openTar({ kind: 'bodies', digest }, label, where);
  entries.forEach(layer.add);
  return { root: builder.root(), notes: layer.notes() };
}

function layer(kind: 'artifact' | 'image', entries: readonly TocEntry[], where?: string[]): DirectoryNode {
  return build(kind, entries, where).root;
}

function at(root: DirectoryNode, ...path: string[]): DirectoryNode {
  let here = root;
  for (const name of path) {
    const next = here.children.get(name);
    assert.ok(next?.kind === 'directory', `${name} is a directory`);
    here = next;
  }
  return here;
}

test('a file layer is one file, its directories made with 0755', () => {
  const builder = createTreeBuilder('artifact');
  builder.addFile('/w/model.bin', { digest, size: 2 ** 40, label });
  const model = at(builder.root(), 'w').children.get('model.bin');
  const source = { kind: 'blob', digest };
  assert.deepEqual(model, {
    kind: 'file',
    source,
    body: 0,
    size: 2 ** 40,
    attributes: blobAttributes,
    layer: label,
  });
  assert.deepEqual(at(builder.root(), 'w').attributes, implied);
  assert.throws(() => builder.addFile('..', { digest, size: 7, label }), { code: 'unmountable' });
});

test('entries keep their attributes, and missing parents are implied', () => {
  const a = file('a/b/c');
  const tree = layer('artifact', [a, directory('a/'), symlink('a/s', '../../x')]);
  assert.deepEqual(show(tree), { a: { b: { c: a.body }, s: '-> ../../x' } });
  assert.deepEqual(at(tree, 'a').attributes, attributes);
  assert.deepEqual(at(tree, 'a', 'b').attributes, implied);
});

test('neighbors keep their own attributes, equal or not', () => {
  const other = { ...attributes, mtime: -1n };
  const far = { mode: 0o1777, uid: 0xffff_fffe, gid: 0xffff_fffe, mtime: (2n ** 34n - 1n) * 1_000_000_000n };
  const marked = { ...attributes, xattrs: { 'user.a': 'b' } };
  const all = [attributes, attributes, other, attributes, marked, attributes, far];
  const shown = all.map((own, index) => ({ ...directory(`${index}`), ...own }));
  const root = layer('image', shown);
  assert.deepEqual(
    all.map((_, index) => at(root, `${index}`).attributes),
    all,
  );
});

test("a tar's own root is the root of the tree, or of the directory where it is unpacked", () => {
  assert.deepEqual(layer('artifact', [directory('./')]).attributes, attributes);
  const a = file('./a');
  const tree = layer('artifact', [directory('./'), a, link('b', 'a')], ['x', 'y']);
  assert.deepEqual(show(tree), { x: { y: { a: a.body, b: a.body } } });
  assert.deepEqual(at(tree, 'x', 'y').attributes, attributes);
  assert.deepEqual(tree.attributes, implied);
});

test('a later entry replaces an earlier one, and a directory described twice keeps its content', () => {
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
  assert.deepEqual(show(tree), { x: '-> y', d: { c: c.body }, f: {} });
});

test('a file replaces a whole directory of the same layer', () => {
  const a = file('d');
  assert.deepEqual(show(layer('artifact', [file('d/x'), a])), { d: a.body });
});

test('a hard link shares the body of the file, links to links do too, and replacing the file changes nothing', () => {
  const [a, again] = [file('a'), file('a')] as const;
  const tree = layer('image', [a, link('b', './a'), link('d/c', '/b'), link('a', 'a'), again]);
  assert.deepEqual(show(tree), { a: again.body, b: a.body, d: { c: a.body } });
});

test('a hard link to a file that its own path replaces by a directory is refused', () => {
  const builder = createTreeBuilder('image');
  builder.openTar({ kind: 'bodies', digest }, 'the lower layer').add(file('x'));
  const upper = builder.openTar({ kind: 'bodies', digest }, label);
  assert.throws(() => upper.add(link('x/y', 'x')), /"x\/y" is a hard link to "x", which is a directory/);
});

test('a hard link to a symlink is that symlink', () => {
  const tree = layer('artifact', [symlink('s', 'nowhere'), link('l', 's')]);
  assert.deepEqual(show(tree), { s: '-> nowhere', l: '-> nowhere' });
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
  assert.deepEqual(show(tree), {
    usr: { lib: { a: a.body }, b: b.body, c: c.body },
    lib: '-> usr/lib',
    abs: '-> /usr',
    up: '-> ../../../usr',
    d: a.body,
  });
});

test('a directory in place of a symlink replaces it', () => {
  const a = file('lib/a');
  const tree = layer('image', [directory('usr'), symlink('lib', 'usr'), directory('lib/'), a]);
  assert.deepEqual(show(tree), { usr: {}, lib: { a: a.body } });
});

test('names that are not UTF-8 are distinct', () => {
  const [a, b] = [file('\udce9'), file('é')] as const;
  assert.deepEqual(show(layer('artifact', [a, b])), { '\udce9': a.body, é: b.body });
});

test('in an artifact, whiteouts are ordinary names', () => {
  const [a, b] = [file('.wh.x'), file('d/.wh..wh..opq')] as const;
  const tree = layer('artifact', [a, b]);
  assert.deepEqual(show(tree), { '.wh.x': a.body, d: { '.wh..wh..opq': b.body } });
});

test('in an image, whiteouts are never visible, whatever their kind', () => {
  const a = file('d/x');
  const tree = layer('image', [
    file('.wh.gone'),
    a,
    special('d/.wh..wh..opq'),
    directory('.wh.d'),
    file('e/.wh.f'),
  ]);
  assert.deepEqual(show(tree), { d: { x: a.body }, e: {} });
});

test('what an image cannot contain is omitted with a log message', () => {
  const a = file('a');
  const entries = [special('dev/null'), a, file('.wh..wh.plnk/1.2'), special('p'), special('q')];
  const { root, notes } = build('image', entries);
  assert.deepEqual(show(root), { a: a.body, dev: {} });
  assert.deepEqual(notes, [
    `${label}: left out character device "dev/null", AUFS metadata ".wh..wh.plnk/1.2", character device "p" and 1 more`,
  ]);
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
    /"l" is a hard link to "f", which is not there before it/,
  ],
  ['a hard link to what comes later', 'artifact', [link('l', 'f'), file('f')], /not there before it/],
  ['a hard link to itself alone', 'artifact', [link('l', 'l')], /not there before it/],
  ['a hard link to a directory', 'artifact', [directory('d'), link('l', 'd')], /"d", which is a directory/],
  ['a hard link to the root', 'artifact', [link('l', '/')], /which is a directory/],
  [
    'a hard link out of the root',
    'artifact',
    [link('l', '../../f')],
    /hard link "l": the path "\.\.\/\.\.\/f" leads out/,
  ],
  ['a file as a parent', 'artifact', [file('f'), file('f/x/y')], /"f\/x\/y" goes through the file at "f"/],
  [
    'symlinks in a circle as a parent',
    'image',
    [symlink('a', 'b'), symlink('b', 'a'), file('a/x')],
    /"a" goes through symlinks that lead in a circle/,
  ],
  ['a symlink to nothing', 'artifact', [symlink('s', '')], /"s" is a symlink to nothing/],
  ['a symlink with a NUL', 'artifact', [symlink('s', 'a\0b')], /which no symlink can hold/],
  ['a symlink of 4,096 bytes', 'artifact', [symlink('s', 'a'.repeat(4096))], /which no symlink can hold/],
  [
    'a parent of more than 255 bytes, by a symlink',
    'image',
    [symlink('s', 'é'.repeat(200)), file('s/x')],
    /is longer than a name of 255 bytes/,
  ],
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

test('a million paths through the longest symlinks are refused soon', () => {
  const deep = Array.from({ length: 1000 }, () => 'd').join('/');
  const chain = Array.from({ length: 30 }, (_, index) => symlink(`s${index + 1}`, `s${index}`));
  const entries = [
    directory(deep),
    symlink('s0', deep),
    ...chain,
    ...Array.from({ length: 200_000 }, () => file('s30/f')),
  ];
  const start = cpuTime();
  assert.throws(() => layer('image', entries), { code: 'unmountable' });
  assert.ok(cpuTime() - start < 20_000);
});

test('long names count by the time that they take, and a deep directory by its content', () => {
  const deep = Array.from({ length: 13 }, () => 'n'.repeat(255)).join('/');
  const entries = [directory(deep), symlink('l', `/${deep}`), symlink(`${deep}/l`, `/${deep}`)];
  const through = file(`${'l/'.repeat(40)}f`);
  const start = cpuTime();
  const walk = (): unknown => layer('image', [...entries, ...Array.from({ length: 40_000 }, () => through)]);
  assert.throws(walk, { code: 'unmountable', message: /past the steps that its paths may take$/ });
  assert.ok(cpuTime() - start < 10_000);
  const many = Array.from({ length: 300_000 }, (_, nth) => file(`f${nth}`));
  const startOfMany = cpuTime();
  layer('image', many, Array<string>(1_800).fill('d'));
  assert.ok(cpuTime() - startOfMany < 5_000);
});

test('50,000 entries become a tree within seconds', () => {
  const entries = Array.from({ length: 50_000 }, (_, index) =>
    file(`usr/share/d${index % 500}/file-${index}`),
  );
  const start = cpuTime();
  layer('image', entries);
  assert.ok(cpuTime() - start < 4000);
});

test('names, targets and attributes of all layers together are limited: one layer may be listed many times', () => {
  const budget = createTreeBudget();
  const xattrs = { 'user.a': 'x'.repeat(30 * 1024 * 1024) };
  const path = 'p'.repeat(3800);
  const target = 't'.repeat(4000);
  const add = (entry: TocEntry): void =>
    createTreeBuilder('artifact', budget).openTar({ kind: 'bodies', digest }, label).add(entry);
  for (let copy = 0; copy < 4; copy++) add({ ...directory('d'), xattrs } as TocEntry);
  const left = budget.bytes;
  add(symlink(path.replaceAll('pp', 'p/'), target));
  assert.equal(left - budget.bytes, 7800);
  assert.throws(() => add({ ...directory('d'), xattrs } as TocEntry), {
    code: 'unmountable',
    message: `${label}: takes the artifact past 128 MiB of names and attributes`,
  });
});

test('directories that names of layers imply are limited, all together', () => {
  const budget = createTreeBudget();
  const add = (nth: number): void =>
    createTreeBuilder('artifact', budget).addFile(`${nth}/${'a/'.repeat(999)}f`, { digest, size: 1, label });
  for (let nth = 0; nth < 100; nth++) add(nth);
  assert.throws(() => add(100), { code: 'unmountable', message: /past the directories that the names/ });
});

test('a hard link with ".." after a symlink refers to the parent of the target', () => {
  const [outer, inner] = [file('x'), file('b/x')];
  const entries = [outer, inner, directory('b/a'), symlink('c', 'b/a'), link('h', 'c/../x')];
  assert.deepEqual(show(layer('image', [...entries, link('i', './b//../x')])), {
    x: outer.body,
    b: { x: inner.body, a: {} },
    c: '-> b/a',
    h: inner.body,
    i: outer.body,
  });
});

test('links of a packed directory resolve inside it wherever it is placed', () => {
  const one = file('one');
  const entries = [directory('d'), one, symlink('s', 'd'), link('s/two', 'one')];
  const shown = { w: { d: { two: one.body }, one: one.body, s: '-> d' } };
  assert.deepEqual(show(layer('artifact', entries, ['w'])), shown);
});

test('a tree of a million files takes less than 100 MB, and seconds', () => {
  const held = (): number => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
  const before = held();
  const start = cpuTime();
  const builder = createTreeBuilder('image');
  const tar = builder.openTar({ kind: 'bodies', digest }, label);
  const name = 'x'.repeat(60);
  for (let nth = 0; nth < 999_999; nth++)
    tar.add({ kind: 'file', path: `${name}${nth}`, size: 0, body: nth, sha256: '', ...attributes });
  const last = builder.root().children.get(`${name}999998`);
  assert.ok(last?.kind === 'file' && last.body === 999_998);
  assert.ok(cpuTime() - start < 15_000);
  assert.ok(held() - before < 100e6);
});

test('the first few items are named, and the rest counted', () => {
  const few = createFew();
  assert.equal(few.format(), undefined);
  const described: number[] = [];
  for (const each of [1, 2, 3, 4, 5]) {
    few.add(() => {
      described.push(each);
      return `${each}`;
    });
  }
  assert.equal(few.format(), '1, 2, 3 and 2 more');
  assert.deepEqual(described, [1, 2, 3]);
});
