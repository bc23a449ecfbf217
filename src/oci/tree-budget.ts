import type { Budget } from './tree-walk.ts';

/** What the trees of one artifact may still cost, all layers together: `nodes` are entries, and folders that only paths imply. */
export type TreeBudget = Budget & { nodes: number };

/** Enough for a million entries behind symlinks as people make them, and a second of work at most. */
const maxSteps = 20_000_000;

export function createTreeBudget(nodes = 1_000_000): TreeBudget {
  return { steps: maxSteps, nodes };
}
