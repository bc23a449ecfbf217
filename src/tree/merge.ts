import { ArtifactError } from '../util/error.ts';
import { nameLength, quoteName } from '../util/name.ts';
import { createAges } from './ages.ts';
import { createNameTable, maxName, rootNumber } from './name-table.ts';
import { createNodeTable, isSameLeaf, type Kind, type Leaf } from './node-table.ts';
import { showTree } from './shown-tree.ts';
import type { EntryAttributes } from './toc.ts';
import { type DirectoryNode, plainAttributes } from './tree.ts';
import { type Budget, maxLinks, spendStep } from './walk.ts';

/** The number of a name of the tree, or a directory. */
export type NodeNumber = number;
/** `spendNode` is called for each directory that only a path implies. */
export type MergeBudget = Budget & { spendNode(layer: string): void };
/** Called with a file of an artifact that a later layer of the same title hides. */
export type NoteHidden = (describe: () => string) => void;

/**
 * The tree to which all layers of an artifact are applied, the lowest first, entry by entry, as if they were extracted
 * one after the other into one directory. There are two differences. A whiteout hides content of lower layers and never
 * of its own, whatever the order in the tar (OCI image spec, layer.md, "Whiteouts"). A directory that paths only imply
 * keeps the attributes of the layers below, even if this layer hides its content.
 *
 * @throws ArtifactError `unmountable`, naming layer and path: if a path continues below something other than a
 *   directory; if in an artifact a directory conflicts with something else of another layer, because its layers are
 *   parts side by side and one would hide a part of the other; for a path over 3,840 bytes.
 */
export type Merge = {
  begin(layer: string): void;
  /**
   * Returns the directory at a path relative to another one. It is created if it does not exist. Symlinks are followed,
   * and `base` is never left. The same array again costs nothing: neighbors in a tar nearly always have one directory.
   * `name` is a name in it, for errors.
   */
  enter(base: NodeNumber, path: readonly string[], name?: string): NodeNumber;
  /** Resolves a path below a directory, and follows symlinks except the last name; undefined if it does not exist. */
  find(base: NodeNumber, path: readonly string[]): NodeNumber | undefined;
  kindOf(node: NodeNumber): Kind | undefined;
  /** Replaces a name by a leaf, or by an existing node. */
  place(directory: NodeNumber, name: string, what: Leaf | NodeNumber): void;
  /** Returns the directory of that name, which replaces anything else. */
  makeDirectory(directory: NodeNumber, name: string): NodeNumber;
  describe(directory: NodeNumber, attributes: EntryAttributes): void;
  /** Hides what lower layers have under a name. */
  hide(directory: NodeNumber, name: string): void;
  /** Hides everything that lower layers have in a directory. */
  hideAll(directory: NodeNumber): void;
  root(): DirectoryNode;
};

/** Bytes: PATH_MAX of Linux, less the prefix of a tree in the state directory. */
const maxPath = 4096 - 256;

/** `missing`: the rest of the path, which does not exist. `blocked`: the node of its first name, no directory. */
type Walk = {
  readonly here: NodeNumber;
  readonly missing: readonly string[];
  readonly blocked: NodeNumber | undefined;
};

export function createMerge(kind: 'artifact' | 'image', budget: MergeBudget, hidden: NoteHidden): Merge {
  const names = createNameTable();
  const nodes = createNodeTable();
  const ages = createAges();
  let layer = '';
  /** The directory that was entered last; undefined once its path may lead elsewhere. */
  let latest: { base: NodeNumber; path: readonly string[]; at: NodeNumber } | undefined;

  /** Returns the node that a name has now. `directory` was entered. */
  function look(directory: NodeNumber, name: string): NodeNumber | undefined {
    const node = names.find(directory, name);
    return isSeen(directory, node) ? node : undefined;
  }

  function isSeen(directory: NodeNumber, node: NodeNumber): boolean {
    return nodes.kindOf(node) !== undefined && ages.counts(node, directory);
  }

  function makeDirectory(directory: NodeNumber, name: string): NodeNumber {
    const node = addName(directory, name);
    const isThere = isSeen(directory, node);
    if (isThere && nodes.kindOf(node) === 'directory') {
      ages.inherit(directory, node);
      touch(node);
      return node;
    }
    if (isThere) refuseClash(directory, name, node, 'directory');
    if (nodes.kindOf(node) === 'directory' && ages.isCovered(node, directory)) {
      ages.inherit(directory, node);
      ages.hideLower(node);
    } else {
      nodes.putDirectory(node, plainAttributes, layer);
      ages.start(node);
    }
    ages.change(node);
    return node;
  }

  /** A directory in which something changes belongs to this layer, as do all its parents. */
  function touch(directory: NodeNumber): void {
    for (let at = directory; at !== 0 && !ages.isOurs(at); at = names.directoryOf(at)) ages.change(at);
  }

  function addName(directory: NodeNumber, name: string): NodeNumber {
    if (names.fits(directory, name, maxPath)) return names.add(directory, name);
    const most = nameLength(name) > maxName ? `a name of ${maxName} bytes` : `${maxPath} bytes`;
    throw refusal(`the path ${pathOf(directory, name)} is longer than ${most}, which the cache cannot hold`);
  }

  function walk(base: NodeNumber, path: readonly string[]): Walk {
    let here = base;
    let links = 0;
    let blocked: NodeNumber | undefined;
    const missing: string[] = [];
    const spend = (name: string): void => {
      if (!spendStep(budget, name))
        throw refusePath(path, 'takes the artifact past the steps that its paths may take');
    };
    // Nearly all names are those of directories.
    let at = 0;
    for (let name = path[0]; name !== undefined; name = path[++at]) {
      const next = look(here, name);
      if (next === undefined || nodes.kindOf(next) !== 'directory') break;
      spend(name);
      ages.inherit(here, next);
      here = next;
    }
    const ahead = path.slice(at).toReversed();
    for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
      spend(name);
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (missing.pop() === undefined && here !== base) here = names.directoryOf(here);
        continue;
      }
      const next = missing.length === 0 ? look(here, name) : undefined;
      const found = next === undefined ? undefined : nodes.kindOf(next);
      if (next !== undefined && found === 'directory') {
        ages.inherit(here, next);
        here = next;
      } else if (next !== undefined && found === 'symlink') {
        if (kind === 'artifact') refuseClash(here, name, next, 'directory');
        if (++links > maxLinks) throw refusePath(path, 'goes through symlinks that lead in a circle');
        const target = nodes.targetOf(next);
        if (target.startsWith('/')) here = base;
        ahead.push(...target.split('/').toReversed());
      } else {
        if (missing.length === 0) blocked = next;
        missing.push(name);
      }
    }
    return { here, missing, blocked: missing.length === 0 ? undefined : blocked };
  }

  function refuseClash(directory: NodeNumber, name: string, node: NodeNumber, above: Kind): void {
    latest = undefined; // its path may go through this name
    const below = nodes.kindOf(node);
    if (kind === 'image' || ages.isOurs(node) || (below === 'directory') === (above === 'directory')) return;
    throw new ArtifactError(
      'unmountable',
      `${pathOf(directory, name)} is a ${below} in ${nodes.layerOf(node)} and a ${above} in ${layer}; one of the two must be pushed under another name`,
    );
  }

  function noteHidden(directory: NodeNumber, name: string, node: NodeNumber, above: Leaf): void {
    if (kind === 'image' || ages.isOurs(node) || isSameLeaf(nodes.leafOf(node), above)) return;
    hidden(() => `${pathOf(directory, name)} of ${nodes.layerOf(node)} by that of ${layer}`);
  }

  /** Formats the path of a name in a directory, for errors. */
  function pathOf(directory: NodeNumber, name: string): string {
    const path = [name];
    for (let at = directory; at !== rootNumber && at !== 0; at = names.directoryOf(at))
      path.push(names.nameOf(at));
    return quoteName(path.toReversed().join('/'));
  }

  const refusal = (why: string): ArtifactError => new ArtifactError('unmountable', `${layer}: ${why}`);
  const refusePath = (path: readonly string[], why: string): ArtifactError =>
    refusal(`${quoteName(path.join('/'))} ${why}`);

  nodes.putDirectory(rootNumber, plainAttributes, '');
  ages.change(rootNumber);

  return {
    begin(label) {
      layer = label;
      latest = undefined;
      ages.begin();
    },
    enter(base, path, name) {
      if (latest?.path === path && latest.base === base) return latest.at;
      const { here, missing, blocked } = walk(base, path);
      if (blocked !== undefined) {
        const [first = ''] = missing;
        refuseClash(here, first, blocked, 'directory');
        // Of a lower layer it is replaced, as under overlayfs.
        if (ages.isOurs(blocked)) {
          const through = `goes through the ${nodes.kindOf(blocked)} at ${pathOf(here, first)}`;
          throw refusePath(name === undefined ? path : [...path, name], `${through}, which is no directory`);
        }
      }
      touch(here);
      const at = missing.reduce((directory, name) => {
        budget.spendNode(layer);
        return makeDirectory(directory, name);
      }, here);
      return (latest = { base, path, at }).at;
    },
    find(base, path) {
      const { here, missing } = walk(base, path.slice(0, -1));
      const name = path.at(-1);
      if (missing.length > 0) return undefined;
      return name === undefined ? here : look(here, name);
    },
    kindOf: nodes.kindOf,
    place(directory, name, what) {
      const node = addName(directory, name);
      if (isSeen(directory, node)) {
        const leaf = typeof what === 'number' ? nodes.leafOf(what) : what;
        refuseClash(directory, name, node, leaf.kind);
        noteHidden(directory, name, node, leaf);
        if (nodes.kindOf(node) === 'directory') {
          ages.inherit(directory, node);
          ages.hideAll(node);
        }
      }
      if (typeof what === 'number') nodes.copyLeaf(what, node);
      else nodes.putLeaf(node, what);
      ages.change(node);
    },
    makeDirectory,
    describe: (directory, attributes) => nodes.putDirectory(directory, attributes, layer),
    hide(directory, name) {
      latest = undefined;
      const node = look(directory, name);
      if (node === undefined) return;
      if (nodes.kindOf(node) === 'directory') {
        ages.inherit(directory, node);
        ages.hideLower(node);
      }
      if (!ages.isOurs(node)) ages.hide(node);
    },
    hideAll(directory) {
      latest = undefined;
      ages.hideLower(directory);
    },
    root: () => showTree({ names, nodes, ages }),
  };
}
