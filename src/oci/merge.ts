import { ArtifactError } from '../util/error.ts';
import { nameLength, quoteName } from './name.ts';
import type { Attributes } from './toc.ts';
import { plainAttributes, type DirectoryNode, type TreeNode } from './tree.ts';
import type { LayerDirectory, LayerNode, LayerTree } from './layer-tree.ts';

/** A directory that the merge has made. Where only one layer has a directory, the layer's own is in the result. */
type Merged = {
  readonly kind: 'directory';
  readonly children: Map<string, TreeNode>;
  attributes: Attributes;
  layer: string;
};

/** Bytes: PATH_MAX of Linux, less what stands before a tree in the state dir. */
const maxPath = 4096 - 256;

type Context = {
  readonly kind: 'artifact' | 'image';
  readonly path: string[];
  /** Layers are left as they are, so that a tree can be merged again: only these may be changed. */
  readonly made: Map<DirectoryNode, Merged>;
};

/**
 * Lays trees over each other, the lowest first, as overlayfs shows them: a directory on a directory is both, anything
 * else replaces what is below, and a whiteout hides what lower layers have, never what its own layer has. A directory
 * that a layer only implies keeps the attributes it has below. No layers: an empty directory. Time is linear in the
 * number of nodes, memory in that of the directories that several layers have.
 *
 * @throws ArtifactError `unmountable`, naming both layers, where a directory meets anything else in an artifact: its
 * layers are parts beside each other, so one would hide a part of the other. Also for a path over 3,840 bytes.
 */
export function mergeTrees(layers: readonly LayerTree[], kind: 'artifact' | 'image'): DirectoryNode {
  let root: DirectoryNode | undefined;
  const context: Context = { kind, path: [], made: new Map() };
  for (const layer of layers) root = mergeDirectory(root, layer.root, 0, context);
  return root ?? { kind: 'directory', children: new Map(), attributes: plainAttributes, layer: '' };
}

/** The upper directory over what is below it. Its depth is bounded by the length of a path, in bytes. */
function mergeDirectory(
  below: DirectoryNode | undefined,
  upper: LayerDirectory,
  length: number,
  context: Context,
): DirectoryNode {
  const into = below === undefined ? undefined : toMerged(below, context);
  if (into !== undefined) {
    if (!upper.implied) {
      into.attributes = upper.attributes;
      into.layer = upper.layer;
    }
    if (upper.opaque) into.children.clear();
    for (const name of upper.hides) into.children.delete(name);
  }
  for (const [name, node] of upper.children) {
    const lower = into?.children.get(name);
    context.path.push(name);
    const longer = length + nameLength(name) + 1;
    if (longer > maxPath) throw tooLong(node, context.path);
    if (context.kind === 'artifact' && lower !== undefined) refuseClash(lower, node, context.path);
    const merged =
      node.kind === 'directory' ? mergeDirectory(directoryOf(lower), node, longer, context) : node;
    into?.children.set(name, merged);
    context.path.pop();
  }
  return into ?? upper;
}

function toMerged(directory: DirectoryNode, { made }: Context): Merged {
  const known = made.get(directory);
  if (known !== undefined) return known;
  const { kind, children, attributes, layer } = directory;
  const merged = { kind, children: new Map(children), attributes, layer };
  made.set(merged, merged);
  return merged;
}

function directoryOf(node: TreeNode | undefined): DirectoryNode | undefined {
  return node?.kind === 'directory' ? node : undefined;
}

function refuseClash(below: TreeNode, above: LayerNode, path: readonly string[]): void {
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
