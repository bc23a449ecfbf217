import { toDigest } from '../../src/oci/digest.ts';
import type { LayerTree } from '../../src/oci/layer-tree.ts';
import { mergeTrees } from '../../src/oci/merge.ts';
import type { TocEntry } from '../../src/oci/toc.ts';
import type { DirectoryNode } from '../../src/oci/tree.ts';
import { atOnce } from './at-once.ts';
import { toLayerTree } from './toc.ts';

const digest = toDigest('sha256', 'e'.repeat(64));

/** An entry in short: `d/` a directory, `l -> t` a symlink, `l = t` a hard link, anything else a file of that body. */
export type Short = string | readonly [path: string, body: number];

function entry(short: Short): TocEntry {
  const attributes = { mode: 0o700, uid: 5, gid: 6, mtime: 7 };
  if (typeof short !== 'string') {
    return { kind: 'file', path: short[0], size: 1, body: short[1], sha256: '', ...attributes };
  }
  const [path = '', target = ''] = short.split(/ (?:->|=) /);
  if (short.includes(' -> ')) return { kind: 'symlink', path, target, ...attributes };
  if (short.includes(' = ')) return { kind: 'link', path, target };
  return short.endsWith('/')
    ? { kind: 'directory', path, ...attributes }
    : { kind: 'file', path, size: 1, body: 0, sha256: '', ...attributes };
}

/** The `index`th layer of these entries, in order. */
export function layer(kind: 'artifact' | 'image', index: number, shorts: readonly Short[]): LayerTree {
  const toc = { digest, notes: [], entries: shorts.map(entry) };
  return toLayerTree(toc, { kind, label: `layer ${index + 1}` });
}

/** Layers of these entries, laid over each other. */
export function merge(kind: 'artifact' | 'image', ...layers: readonly (readonly Short[])[]): DirectoryNode {
  const trees = layers.map((shorts, index) => layer(kind, index, shorts));
  return atOnce(mergeTrees(trees, kind));
}

/** A tree as nested objects: files as bodies, symlinks as targets. */
export function show(directory: DirectoryNode): Shown {
  const shown: Shown = {};
  for (const [name, node] of directory.children) {
    if (node.kind === 'directory') shown[name] = show(node);
    else if (node.kind === 'symlink') shown[name] = `-> ${node.target}`;
    else shown[name] = node.source.kind === 'bodies' ? node.body : -1;
  }
  return shown;
}
export type Shown = { [name: string]: Shown | string | number };
