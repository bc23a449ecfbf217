import { ArtifactError } from '../util/error.ts';
import type { Budget } from './walk.ts';

/**
 * The remaining budget of the trees of one artifact, over all layers: `nodes` counts entries, and directories that
 * paths imply; `directories` those that the names of layers imply; `bytes` the names, targets and attributes of tars.
 */
export type TreeBudget = Budget & { nodes: number; directories: number; bytes: number };

/** Enough for a million entries behind ordinary symlinks, and at most two seconds of work. */
const maxSteps = 20_000_000;
/** Twenty thousand layers, the most that a manifest can list, in directories five deep. */
const maxDirectories = 100_000;
/** For a layer, and for all layers of an artifact: they are held in memory. */
export const maxNameBytes: number = 128 * 1024 * 1024;

export function createTreeBudget(nodes = 1_000_000): TreeBudget {
  return { steps: maxSteps, nodes, directories: maxDirectories, bytes: maxNameBytes };
}

/** @throws ArtifactError `unmountable`: a small archive can expand to much memory, and to many inodes on the disk. */
export function spendNode(budget: TreeBudget, label: string): void {
  if (--budget.nodes >= 0) return;
  throw new ArtifactError(
    'unmountable',
    `${label}: takes the artifact past the files and directories that all of its layers may have (--max-layer-entries)`,
  );
}
