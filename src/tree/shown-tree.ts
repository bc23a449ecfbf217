import type { Ages } from './ages.ts';
import { type NameTable, rootNumber } from './name-table.ts';
import type { NodeTable } from './node-table.ts';
import type { DirectoryNode, TreeNode } from './tree.ts';

/** The result of a merge: its names, what they are, and which of them are hidden. */
export type Merged = {
  readonly names: Pick<NameTable, 'find' | 'namesIn' | 'nameOf'>;
  readonly nodes: NodeTable;
  readonly ages: Pick<Ages, 'counts' | 'since'>;
};

/** Returns the tree that a merge shows. Each node is made when it is asked for. */
export function showTree({ names, nodes, ages }: Merged): DirectoryNode {
  function show(node: number, directory: number, above: number): TreeNode | undefined {
    const found = nodes.kindOf(node);
    if (found === undefined || !ages.counts(node, directory, above)) return undefined;
    if (found === 'directory') return showDirectory(node, ages.since(directory, above));
    const shown = nodes.leafOf(node);
    return shown.kind === 'special' ? undefined : shown;
  }

  function showDirectory(directory: number, above: number): DirectoryNode {
    return {
      kind: 'directory',
      attributes: nodes.attributesOf(directory),
      layer: nodes.layerOf(directory),
      children: {
        get: name => show(names.find(directory, name), directory, above),
        *values() {
          for (const number of names.namesIn(directory)) {
            const node = show(number, directory, above);
            if (node !== undefined) yield node;
          }
        },
        *[Symbol.iterator]() {
          for (const number of names.namesIn(directory)) {
            const node = show(number, directory, above);
            if (node !== undefined) yield [names.nameOf(number), node];
          }
        },
      },
    };
  }

  return showDirectory(rootNumber, 1);
}
