import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import type { LayerPlan } from '../../oci/plan.ts';
import type { Layers } from '../../ports/store.ts';
import type { TocEntry } from '../../tree/toc.ts';
import type { DirectoryNode } from '../../tree/tree.ts';
import { createTrees } from './trees.ts';

const never = new AbortController().signal;
const attributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0n };
const directory = (path: string): TocEntry => ({ kind: 'directory', path, ...attributes });
const symlink = (path: string): TocEntry => ({ kind: 'symlink', path, target: 'x', ...attributes });

const descriptorOf = (text: string) => ({
  mediaType: 'application/octet-stream',
  digest: toDigest('sha256', hash('sha256', text)),
  size: 1,
  annotations: {},
});
const packed = (name: string) =>
  ({
    name,
    label: name,
    form: 'unpacked',
    descriptor: descriptorOf(name),
    into: { path: [name], packed: true },
  }) as const satisfies LayerPlan;
const file = (name: string) =>
  ({ name, label: name, form: 'file', descriptor: descriptorOf(name) }) as const satisfies LayerPlan;

/** Returns the paths of a tree. */
function pathsOf({ children }: DirectoryNode, above = ''): readonly string[] {
  return [...children].flatMap(([name, node]) => {
    const path = `${above}${name}`;
    return node.kind === 'directory' ? [`${path}/`, ...pathsOf(node, `${path}/`)] : [path];
  });
}

/** Merges an artifact whose packed tars have these entries; returns its paths, and how often a table was read. */
async function merge(plan: readonly LayerPlan[], tars: Readonly<Record<string, readonly TocEntry[]>>) {
  let reads = 0;
  const layers: Pick<Layers, 'has' | 'readToc'> = {
    has: async () => true,
    async readToc(digest, take) {
      reads++;
      const name = Object.keys(tars).find(tar => descriptorOf(tar).digest === digest) ?? '';
      take(tars[name] ?? []);
      return { digest, diffId: digest, bytes: 0, bodies: 0, notes: [`a note of ${name}`] };
    },
  };
  const trees = createTrees(layers, 100);
  const settled = await trees.settle({ kind: 'artifact', layers: plan }, never);
  const notes: string[] = [];
  const note = (text: string): void => void notes.push(text);
  const root = await trees.merge(
    { ...settled, stored: 'tar' },
    { unpack: 'auto', include: [], exclude: [] },
    note,
    never,
  );
  return { paths: pathsOf(root).toSorted(), reads, notes };
}

test('the table of a packed tar whose names begin with its path is read once', async () => {
  const merged = await merge([packed('w')], { w: [directory('w'), symlink('w/a')] });
  assert.deepEqual(merged, { paths: ['w/', 'w/a'], reads: 1, notes: ['a note of w'] });
});

test('a packed tar of which one name does not begin with its path is placed there as a whole', async () => {
  const merged = await merge([packed('w'), packed('v')], {
    w: [directory('w'), symlink('w/a'), symlink('b')],
    v: [symlink('v/c')],
  });
  assert.deepEqual(merged.paths, ['v/', 'v/c', 'w/', 'w/b', 'w/w/', 'w/w/a']);
  assert.deepEqual(merged.notes, ['a note of w', 'a note of v']);
});

test('a name conflicts with other layers only where it is placed', async () => {
  const tars = { w: [directory('w/a'), symlink('b')] };
  const { paths } = await merge([file('w/a'), packed('w')], tars);
  assert.deepEqual(paths, ['w/', 'w/a', 'w/b', 'w/w/', 'w/w/a/']);
  await assert.rejects(merge([file('w/a'), packed('w')], { w: [directory('w/a')] }), {
    code: 'unmountable',
    message: /must be pushed under another name/,
  });
});
