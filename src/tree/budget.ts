import { ArtifactError } from '../util/error.ts';
import type { Budget } from './walk.ts';

/**
 * What the trees of one artifact may still cost, all layers together: `nodes` are entries, and folders that only paths
 * imply; `folders` those that the names of layers imply; `bytes` what names, targets and attributes of tars have.
 */
export type TreeBudget = Budget & { nodes: number; folders: number; bytes: number };

/** Enough for a million entries behind symlinks as people make them, and two seconds of work at most. */
const maxSteps = 20_000_000;
/** Twenty thousand layers, which a manifest has room for, in folders five deep. */
const maxFolders = 100_000;
/** Of a layer, and of all layers of an artifact: they are held in memory. */
export const maxNameBytes: number = 128 * 1024 * 1024;

export function createTreeBudget(nodes = 1_000_000): TreeBudget {
  return { steps: maxSteps, nodes, folders: maxFolders, bytes: maxNameBytes };
}

/** @throws ArtifactError `unmountable`: a small archive can say much, which is held in memory, and on the disk as inodes. */
export function spendNode(budget: TreeBudget, label: string): void {
  if (--budget.nodes >= 0) return;
  throw new ArtifactError(
    'unmountable',
    `${label}: takes the artifact past the files and directories that all of its layers may have (--max-layer-entries)`,
  );
}
