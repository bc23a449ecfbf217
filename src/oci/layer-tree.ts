import { ArtifactError } from '../util/error.ts';
import { formatSize } from '../util/size.ts';
import type { Digest } from './digest.ts';
import { createFew } from './few.ts';
import { nameLength, quoteName } from './name.ts';
import { type Attributes, sizeOfNames, type TocEntry } from './toc.ts';
import { plainAttributes, type FileNode, type Source, type SymlinkNode } from './tree.ts';
import { parseFilePath, parseTreePath } from './tree-path.ts';
import { createTreeBudget, maxNameBytes, type TreeBudget } from './tree-budget.ts';
import { walkTree } from './tree-walk.ts';

/**
 * A directory of one layer, before the merge. `implied`: no entry describes it, only paths go through it. `hides`:
 * names of lower layers that a whiteout removes; `opaque`: all of them (OCI image spec, layer.md, "Whiteouts"). Those
 * that hold or hide nothing share an empty map and set, since there may be a million.
 */
export type LayerDirectory = {
  readonly kind: 'directory';
  children: Map<string, LayerNode>;
  hides: Set<string>;
  attributes: Attributes;
  implied: boolean;
  opaque: boolean;
  readonly layer: string;
};
export type LayerNode = LayerDirectory | FileNode | SymlinkNode;

const noChildren: LayerDirectory['children'] = new Map();
const noNames: LayerDirectory['hides'] = new Set();

/** One layer as a tree of its own. `notes` are for the log. */
export type LayerTree = { readonly root: LayerDirectory; readonly notes: readonly string[] };

/**
 * What a tree is made for decides what may be in it; `label` names the layer in errors, `at` is where its root goes. With
 * `packed` the names in the tar may begin with `at` already.
 */
export type LayerRole = {
  readonly kind: 'artifact' | 'image';
  readonly label: string;
  readonly at?: readonly string[];
  readonly packed?: boolean;
  /** Shared by all layers of an artifact. */
  readonly budget?: TreeBudget;
};

/** A blob that is one file. @throws ArtifactError `unmountable` for a path that cannot be. */
export function toFileTree(
  path: string,
  file: { digest: Digest; size: number; label: string; budget?: TreeBudget },
): LayerTree {
  const { digest, size, label } = file;
  const layer = openLayer(label, file.budget);
  spend(layer);
  const source: Source = { kind: 'blob', digest };
  const parts = parseFilePath(path, label);
  layer.budget.folders -= parts.length - 1;
  if (layer.budget.folders < 0)
    throw refusal(label, 'takes the artifact past the folders that the names of all its layers may need');
  placeNode(layer, parts, { kind: 'file', source, body: 0, size, layer: label });
  return { root: layer.base, notes: [] };
}

/** A tar layer on its way to a tree. After a failure it is of no use. */
export type LayerTreeBuilder = {
  /** @throws ArtifactError `unmountable`, naming layer and entry. */
  add(entry: TocEntry): void;
  /** Takes the notes of the table of contents, too. */
  finish(notes: readonly string[]): LayerTree;
};

/**
 * A tar layer as a tree. Entries are taken in the tar's order, a later one replaces an earlier one, and a parent that
 * is a symlink of this layer is followed inside it, as when the layer is extracted by itself. Hard links share the
 * body of a file that came before them. Refused are a path out of the root, a hard link to what is not there, a parent
 * that is no directory, and, in an artifact, a device, FIFO or socket.
 */
export function createLayerTree(
  digest: Digest,
  { kind, label, at = [], packed = false, budget }: LayerRole,
): LayerTreeBuilder {
  const whole = openLayer(label, budget);
  const layer = packed ? whole : { ...whole, base: enterDirectory(whole, at, at.length, false) };
  const source: Source = { kind: 'bodies', digest };
  const leftOut = createFew();
  return {
    add(entry) {
      spend(layer);
      layer.budget.bytes -= sizeOfNames(entry);
      if (layer.budget.bytes < 0)
        throw refusal(label, `takes the artifact past ${formatSize(maxNameBytes)} of names and attributes`);
      const path = parseTreePath(entry.path, label);
      if (kind === 'image' && path.some(isReserved)) {
        if (!applyWhiteout(layer, path)) leftOut.add(() => `AUFS metadata ${quoteName(entry.path)}`);
      } else if (entry.kind === 'special') {
        const what = `${entry.what} ${quoteName(entry.path)}`;
        if (kind === 'artifact') throw refusal(label, `holds the ${what}, which an artifact cannot have`);
        leftOut.add(() => what);
      } else if (entry.kind === 'directory') {
        const directory = enterDirectory(layer, path, path.length, true);
        directory.attributes = layer.attributesOf(entry);
        directory.implied = false;
      } else if (path.length === 0) {
        throw refusal(label, `the root ${quoteName(entry.path)} is a ${entry.kind}, not a directory`);
      } else {
        placeNode(layer, path, toNode(layer, entry, source));
      }
    },
    finish(notes) {
      const list = leftOut.format();
      const own = list === undefined ? [] : [`${label}: left out ${list}`];
      return {
        root: packed && !hasOnly(whole.base, at) ? moveTo(whole, at) : whole.base,
        notes: [...notes, ...own],
      };
    },
  };
}

/** Whether all that is in a directory lies at a path or below it. */
function hasOnly(directory: LayerDirectory, path: readonly string[]): boolean {
  let here: LayerNode | undefined = directory;
  for (const name of path) {
    if (here?.kind !== 'directory' || here.children.size !== 1) return false;
    here = here.children.get(name);
  }
  return here !== undefined;
}

/** A root with all of a layer at a path, which has a name. */
function moveTo(layer: Layer, path: readonly string[]): LayerDirectory {
  const moved = { ...layer, base: implyDirectory(layer.label) };
  const parent = enterDirectory(moved, path, path.length - 1, false);
  putChild(parent, path.at(-1) ?? '', layer.base);
  return moved.base;
}

/** A layer while its entries are taken: paths start at `base`. */
type Layer = {
  readonly base: LayerDirectory;
  readonly label: string;
  readonly budget: TreeBudget;
  readonly attributesOf: (entry: Attributes) => Attributes;
};

/** A small archive can say much: what it says is held in memory, and on the disk as inodes. */
function spend({ budget, label }: Pick<Layer, 'budget' | 'label'>): void {
  if (--budget.nodes >= 0) return;
  throw refusal(
    label,
    'takes the artifact past the files and folders that all of its layers may have (--max-layer-entries)',
  );
}

function openLayer(label: string, budget: TreeBudget = createTreeBudget()): Layer {
  return { base: implyDirectory(label), label, budget, attributesOf: createAttributes() };
}

type Leaf = Extract<TocEntry, { kind: 'file' | 'symlink' | 'link' }>;

function toNode(layer: Layer, entry: Leaf, source: Source): FileNode | SymlinkNode {
  const { label } = layer;
  switch (entry.kind) {
    case 'file':
      return { kind: 'file', source, body: entry.body, size: entry.size, layer: label };
    case 'symlink': {
      const { target } = entry;
      if (target === '' || target.includes('\0') || nameLength(target) > 4095) {
        const why = target === '' ? 'nothing' : `${quoteName(target)}, which no symlink can hold`;
        throw refusal(label, `${quoteName(entry.path)} is a symlink to ${why}`);
      }
      return { kind: 'symlink', target, attributes: layer.attributesOf(entry), layer: label };
    }
    case 'link':
      return findLinked(layer, entry.path, entry.target);
  }
}

/** What a hard link names. It must be there already: tar writes a file before the links to it. */
function findLinked(layer: Layer, path: string, target: string): FileNode | SymlinkNode {
  const parts = parseTreePath(target, `${layer.label}, hard link ${quoteName(path)}`);
  const found = walkTree(layer.base, parts.slice(0, -1), layer.budget);
  const parent = found.kind === 'directory' ? found.node : undefined;
  const name = parts.at(-1);
  const node = name === undefined ? parent : parent?.children.get(name);
  if (node !== undefined && node.kind !== 'directory') return node;
  const why = node === undefined ? 'which is not in this layer before it' : 'which is a directory';
  throw refusal(layer.label, `${quoteName(path)} is a hard link to ${quoteName(target)}, ${why}`);
}

const opaqueName = '.wh..wh..opq';

function isReserved(name: string): boolean {
  return name.startsWith('.wh.');
}

/** Notes what a whiteout hides; false for other names of AUFS, which mean nothing here. */
function applyWhiteout(layer: Layer, path: readonly string[]): boolean {
  if (path.some(part => part.startsWith('.wh..wh.') && part !== opaqueName)) return false;
  const name = path.at(-1) ?? '';
  const hidden = name.slice(4);
  if (path.findIndex(isReserved) < path.length - 1 || ['', '.', '..'].includes(hidden)) {
    const why = 'is no whiteout, yet has a name that is reserved for them (.wh.)';
    throw refusal(layer.label, `${quoteName(path.join('/'))} ${why}`);
  }
  const directory = enterDirectory(layer, path, path.length - 1, false);
  if (name === opaqueName) directory.opaque = true;
  else if (directory.hides === noNames) directory.hides = new Set([hidden]);
  else directory.hides.add(hidden);
  return true;
}

function placeNode(layer: Layer, path: readonly string[], node: FileNode | SymlinkNode): void {
  putChild(enterDirectory(layer, path, path.length - 1, false), path.at(-1) ?? '', node);
}

function putChild(directory: LayerDirectory, name: string, node: LayerNode): void {
  if (directory.children === noChildren) directory.children = new Map();
  directory.children.set(name, node);
}

/** The directory that the first `length` parts name, made where absent. With `replace`, what else is there gives way. */
function enterDirectory(
  layer: Layer,
  path: readonly string[],
  length: number,
  replace: boolean,
): LayerDirectory {
  let here = layer.base;
  for (const [index, name] of path.entries()) {
    if (index === length) break;
    let next = here.children.get(name);
    if (next === undefined || (replace && index === length - 1 && next.kind !== 'directory')) {
      if (!replace || index < length - 1) spend(layer);
      next = implyDirectory(layer.label);
      putChild(here, name, next);
    }
    here = next.kind === 'directory' ? next : followParent(layer, path, index + 1, next);
  }
  return here;
}

/** The directory that a symlink among the parents of an entry leads to. */
function followParent(
  { base, label, budget }: Layer,
  path: readonly string[],
  length: number,
  node: FileNode | SymlinkNode,
): LayerDirectory {
  const parent = path.slice(0, length);
  const found = walkTree(base, parent, budget);
  if (found.kind === 'directory') return found.node;
  const what = node.kind === 'file' ? 'file' : `symlink to ${quoteName(node.target)}`;
  const through = `goes through the ${what} at ${quoteName(parent.join('/'))}`;
  throw refusal(label, `${quoteName(path.join('/'))} ${through}, which is no directory of this layer`);
}

function implyDirectory(layer: string): LayerDirectory {
  return {
    kind: 'directory',
    children: noChildren,
    hides: noNames,
    attributes: plainAttributes,
    implied: true,
    opaque: false,
    layer,
  };
}

/** The attributes of entries; one value for neighbours that are alike, as most are. */
function createAttributes(): (entry: Attributes) => Attributes {
  let last = plainAttributes;
  return ({ mode, uid, gid, mtime, xattrs }) => {
    if (xattrs !== undefined) return { mode, uid, gid, mtime, xattrs };
    const same = mode === last.mode && uid === last.uid && gid === last.gid && mtime === last.mtime;
    if (!same) last = { mode, uid, gid, mtime };
    return last;
  };
}

function refusal(label: string, why: string): ArtifactError {
  return new ArtifactError('unmountable', `${label}: ${why}`);
}
