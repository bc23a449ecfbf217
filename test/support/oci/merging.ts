import { toDigest } from '../../../src/oci/digest.ts';
import { createTreeBuilder } from '../../../src/tree/layer-tree.ts';
import type { TocEntry } from '../../../src/tree/toc.ts';
import type { DirectoryNode } from '../../../src/tree/tree.ts';

const digest = toDigest('sha256', 'e'.repeat(64));

/**
 * An entry in short form: `d/` a directory, `l -> t` a symlink, `l = t` a hard link, `p |` a FIFO, else a file with
 * that body.
 */
export type Short = string | readonly [path: string, body: number];

const attributes = { mode: 0o700, uid: 5, gid: 6, mtime: 7n };

function toEntry(short: Short | TocEntry): TocEntry {
  if (typeof short === 'object' && 'kind' in short) return short;
  if (typeof short !== 'string') {
    return { kind: 'file', path: short[0], size: 1, body: short[1], sha256: '', ...attributes };
  }
  if (short.endsWith(' |')) return { kind: 'special', path: short.slice(0, -2), what: 'FIFO' };
  const [path = '', target = ''] = short.split(/ (?:->|=) /);
  if (short.includes(' -> ')) return { kind: 'symlink', path, target, ...attributes };
  if (short.includes(' = ')) return { kind: 'link', path, target };
  return short.endsWith('/')
    ? { kind: 'directory', path, ...attributes }
    : { kind: 'file', path, size: 1, body: 0, sha256: '', ...attributes };
}

/** Layers of these entries, one after the other. */
export function merge(
  kind: 'artifact' | 'image',
  ...layers: readonly (readonly (Short | TocEntry)[])[]
): DirectoryNode {
  const tree = createTreeBuilder(kind);
  for (const [index, shorts] of layers.entries()) {
    const entries = tree.openTar({ kind: 'bodies', digest }, `layer ${index + 1}`);
    shorts.map(toEntry).forEach(entries.add);
  }
  return tree.root();
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
