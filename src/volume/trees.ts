import { createFew } from '../oci/few.ts';
import { createLayerTree, type LayerTree, toFileTree } from '../oci/layer-tree.ts';
import { mergeTrees } from '../oci/merge.ts';
import type { LayerPlan, Plan } from '../oci/plan.ts';
import { subTree } from '../oci/sub-tree.ts';
import { createTreeBudget, type TreeBudget } from '../oci/tree-budget.ts';
import type { DirectoryNode } from '../oci/tree.ts';
import { ArtifactError } from '../util/error.ts';
import { doInSlices } from '../util/pace.ts';
import type { Layers } from './contracts/store.ts';
import type { Selection } from './request.ts';

/** The trees that views are: of what the cache holds, merged. */
export type Trees = {
  /** @throws ArtifactError `unmountable` where the names alone forbid it. */
  verifyNames(plan: Plan, signal: AbortSignal): Promise<void>;
  /** Decides of what is here whether it has been unpacked: if its bytes are a tar. */
  settle(plan: Plan): Promise<SettledPlan>;
  /** `note` hears what of it is not shown. @throws `corrupt`; `unmountable`. */
  merge(
    plan: SettledPlan,
    selection: Selection,
    note: (text: string) => void,
    signal: AbortSignal,
  ): Promise<DirectoryNode>;
};

export type SettledLayer = Exclude<LayerPlan, { form: 'detected' }>;
export type SettledPlan = { readonly kind: Plan['kind']; readonly layers: readonly SettledLayer[] };

/** @param maxEntries most entries of the layers of one artifact, all together. */
export function createTrees(layers: Layers, maxEntries: number): Trees {
  return {
    async verifyNames(plan, signal) {
      await doInSlices(mergeTrees(fileTreesOf(plan, createTreeBudget(maxEntries)), plan.kind), signal);
    },
    async settle({ kind, layers: plans }) {
      const settled: SettledLayer[] = [];
      for (const plan of plans) {
        if (plan.form !== 'detected') settled.push(plan);
        else if (await layers.has(plan.descriptor.digest)) settled.push({ ...plan, form: 'unpacked' });
        else settled.push({ ...plan, form: 'file' });
      }
      return { kind, layers: settled };
    },
    async merge(plan, selection, note, signal) {
      const trees = [];
      const budget = createTreeBudget(maxEntries);
      for (const layer of plan.layers) {
        const tree = await treeOf(layer, plan.kind, layers, budget, signal);
        tree.notes.forEach(note);
        trees.push(tree);
      }
      const hidden = createFew();
      const root = await doInSlices(mergeTrees(trees, plan.kind, hidden), signal);
      const list = hidden.format();
      if (list !== undefined) note(`layers hide files of earlier layers: ${list}`);
      return selection.subPath === undefined ? root : subTree(root, selection.subPath);
    },
  };
}

/** One at a time: there may be twenty thousand. */
function* fileTreesOf({ layers }: Plan, budget: TreeBudget): Generator<LayerTree> {
  for (const layer of layers) if (layer.form === 'file') yield fileTreeOf(layer, budget);
}

function fileTreeOf({ name, label, descriptor }: SettledLayer, budget: TreeBudget): LayerTree {
  return toFileTree(name, { digest: descriptor.digest, size: descriptor.size, label, budget });
}

async function treeOf(
  layer: SettledLayer,
  kind: Plan['kind'],
  layers: Layers,
  budget: TreeBudget,
  signal: AbortSignal,
): Promise<LayerTree> {
  const { digest } = layer.descriptor;
  if (layer.form === 'file') return fileTreeOf(layer, budget);
  const { path = [], packed = false } = layer.into ?? {};
  const tree = createLayerTree(digest, { kind, label: layer.label, budget, at: path, packed });
  const toc = await layers.readToc(digest, entries => entries.forEach(tree.add), signal);
  if (toc === undefined)
    throw new ArtifactError('internal', `${layer.label} (${digest}) left the cache while it was in use`);
  if (layer.diffId !== undefined && layer.diffId !== toc.diffId) {
    throw new ArtifactError(
      'unmountable',
      `the uncompressed bytes of ${layer.label} (${layer.descriptor.mediaType}) are ${toc.diffId}, but the artifact promises ${layer.diffId}; push it again`,
    );
  }
  return tree.finish(toc.notes);
}
