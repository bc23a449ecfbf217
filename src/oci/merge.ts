import { ArtifactError } from '../util/error.ts';
import { encodeName, quoteName } from './name.ts';
import type { Attributes } from './toc.ts';
import { plainAttributes, type DirectoryNode, type FileNode, type SymlinkNode } from './tree.ts';
import type { LayerDirectory, LayerNode, LayerTree } from './layer-tree.ts';

/** A directory of the result; the layers' own are left as they are, so that a tree can be merged again. */
type Merged = {
  readonly kind: 'directory';
  readonly children: Map<string, Merged | FileNode | SymlinkNode>;
  attributes: Attributes;
  layer: string;
};

/** Bytes: PATH_MAX of Linux, less what stands before a tree in the state dir. */
const maxPath = 4096 - 256;

type Context = { readonly kind: 'artifact' | 'image'; readonly path: string[] };

/**
 * Lays trees over each other, the lowest first, as overlayfs shows them: a directory on a directory is both, anything
 * else replaces what is below, and a whiteout hides what lower layers have, never what its own layer has. A directory
 * that a layer only implies keeps the attributes it has below. No layers: an empty directory. Time and memory are
 * linear in the number of nodes.
 *
 * @throws ArtifactError `unmountable`, naming both layers, where a directory meets anything else in an artifact: its
 * layers are parts beside each other, so one would hide a part of the other. Also for a path over 3,840 bytes.
 */
export function mergeTrees(layers: readonly LayerTree[], kind: 'artifact' | 'image'): DirectoryNode {
  const root: Merged = { kind: 'directory', children: new Map(), attributes: plainAttributes, layer: '' };
  for (const layer of layers) mergeDirectory(root, layer.root, 0, { kind, path: [] });
  return root;
}

/** Its depth is bounded by the length of a path, in bytes. */
function mergeDirectory(into: Merged, upper: LayerDirectory, length: number, context: Context): void {
  if (!upper.implied) {
    into.attributes = upper.attributes;
    into.layer = upper.layer;
  }
  if (upper.opaque) into.children.clear();
  for (const name of upper.hides) into.children.delete(name);
  for (const [name, node] of upper.children) {
    const below = into.children.get(name);
    context.path.push(name);
    const longer = length + encodeName(name).length + 1;
    if (longer > maxPath) throw tooLong(node, context.path);
    if (context.kind === 'artifact' && below !== undefined) refuseClash(below, node, context.path);
    if (node.kind === 'directory') {
      const next = below?.kind === 'directory' ? below : emptyDirectory(node);
      if (next !== below) into.children.set(name, next);
      mergeDirectory(next, node, longer, context);
    } else {
      into.children.set(name, node);
    }
    context.path.pop();
  }
}

function emptyDirectory({ attributes, layer }: LayerDirectory): Merged {
  return { kind: 'directory', children: new Map(), attributes, layer };
}

function refuseClash(
  below: Merged | FileNode | SymlinkNode,
  above: LayerNode,
  path: readonly string[],
): void {
  if ((below.kind === 'directory') === (above.kind === 'directory')) return;
  throw new ArtifactError(
    'unmountable',
    `${quoteName(path.join('/'))} is a ${below.kind} in ${below.layer} and a ${above.kind} in ${above.layer}; one of the two must be pushed under another name`,
  );
}

function tooLong(node: LayerNode, path: readonly string[]): ArtifactError {
  return new ArtifactError(
    'unmountable',
    `${node.layer}: the path ${quoteName(path.join('/'))} is longer than ${maxPath} bytes, which the cache cannot hold`,
  );
}
