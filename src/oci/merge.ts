import { ArtifactError } from '../util/error.ts';
import { createFew, type Few } from './few.ts';
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

/** A directory whose children are to be merged: `into` what is below it, undefined where it is the first. */
type Place = {
  readonly upper: LayerDirectory;
  readonly into: Merged | undefined;
  readonly path: Path;
};
/** From the last name to the first; `length` is in bytes, a slash after each name. */
type Path = { readonly name: string; readonly length: number; readonly above: Path | undefined };

/**
 * Lays trees over each other, the lowest first, as overlayfs shows them: a directory on a directory is both, anything
 * else replaces what is below, and a whiteout hides what lower layers have, never what its own layer has. A directory
 * that a layer only implies keeps the attributes it has below. No layers: an empty directory. Time is linear in the
 * number of nodes, memory in that of the directories that several layers have. Yields after each node.
 *
 * @throws ArtifactError `unmountable`, naming both layers, where a directory meets anything else in an artifact: its
 * layers are parts beside each other, so one would hide a part of the other. Also for a path over 3,840 bytes. A file in
 * place of another one is what a later layer of the same title asks for; `hidden` is told of it.
 */
export function* mergeTrees(
  layers: Iterable<LayerTree>,
  kind: 'artifact' | 'image',
  hidden: Pick<Few, 'add'> = createFew(),
): Generator<void, DirectoryNode> {
  let root: DirectoryNode | undefined;
  // Layers are left as they are, so that a tree can be merged again: only these may be changed.
  const made = new Map<DirectoryNode, Merged>();
  for (const layer of layers) {
    const top = enter(root, layer.root, { name: '', length: 0, above: undefined }, made);
    root = top.into ?? top.upper;
    const pending = [top];
    for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
      const { upper, into } = place;
      for (const [name, node] of upper.children) {
        yield;
        const lower = into?.children.get(name);
        const path = { name, length: place.path.length + nameLength(name) + 1, above: place.path };
        if (path.length > maxPath) throw tooLong(node, path);
        if (kind === 'artifact' && lower !== undefined) {
          refuseClash(lower, node, path);
          if (!isSame(lower, node))
            hidden.add(() => `${quoteName(formatPath(path))} of ${lower.layer} by that of ${node.layer}`);
        }
        if (node.kind === 'directory') {
          const next = enter(directoryOf(lower), node, path, made);
          into?.children.set(name, next.into ?? node);
          pending.push(next);
        } else into?.children.set(name, node);
      }
    }
  }
  return root ?? { kind: 'directory', children: new Map(), attributes: plainAttributes, layer: '' };
}

/** The upper directory over what is below it, but for its children. */
function enter(
  below: DirectoryNode | undefined,
  upper: LayerDirectory,
  path: Path,
  made: Map<DirectoryNode, Merged>,
): Place {
  const into = below === undefined ? undefined : toMerged(below, made);
  if (into !== undefined) {
    if (!upper.implied) {
      into.attributes = upper.attributes;
      into.layer = upper.layer;
    }
    if (upper.opaque) into.children.clear();
    for (const name of upper.hides) into.children.delete(name);
  }
  return { upper, into, path };
}

function toMerged(directory: DirectoryNode, made: Map<DirectoryNode, Merged>): Merged {
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

function refuseClash(below: TreeNode, above: LayerNode, path: Path): void {
  if ((below.kind === 'directory') === (above.kind === 'directory')) return;
  throw new ArtifactError(
    'unmountable',
    `${quoteName(formatPath(path))} is a ${below.kind} in ${below.layer} and a ${above.kind} in ${above.layer}; one of the two must be pushed under another name`,
  );
}

/** Whether it makes no difference which of two nodes is shown. */
function isSame(below: TreeNode, above: LayerNode): boolean {
  if (below.kind === 'file' && above.kind === 'file')
    return below.source.digest === above.source.digest && below.body === above.body;
  if (below.kind === 'symlink' && above.kind === 'symlink') return below.target === above.target;
  return below.kind === 'directory';
}

function tooLong(node: LayerNode, path: Path): ArtifactError {
  return new ArtifactError(
    'unmountable',
    `${node.layer}: the path ${quoteName(formatPath(path))} is longer than ${maxPath} bytes, which the cache cannot hold`,
  );
}

function formatPath(path: Path): string {
  const names: string[] = [];
  for (let at: Path | undefined = path; at?.above !== undefined; at = at.above) names.push(at.name);
  return names.toReversed().join('/');
}
