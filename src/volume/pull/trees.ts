import type { LayerPlan, Plan } from '../../oci/plan.ts';
import { canTarsReach } from '../../oci/tar-reach.ts';
import type { Selection } from '../../ports/request.ts';
import type { Layers } from '../../ports/store.ts';
import {
  createFew,
  createTreeBudget,
  createTreeBuilder,
  type Few,
  type TreeBuilder,
} from '../../tree/layer-tree.ts';
import { createPathCheck } from '../../tree/path-check.ts';
import { subTree } from '../../tree/sub-tree.ts';
import type { LayerForm } from '../../tree/toc.ts';
import type { DirectoryNode } from '../../tree/tree.ts';
import { ArtifactError } from '../../util/error.ts';
import { startPace } from '../../util/pace.ts';

/** Merges cached layers into the trees of views. */
export type Trees = {
  /**
   * Verifies what the manifest alone says.
   *
   * @throws ArtifactError `unmountable` if the names of the layers conflict, or nothing can be at the subPath.
   */
  verifyNames(plan: Plan, selection: Selection, signal: AbortSignal): Promise<void>;
  /** Decides for each cached layer whether it is unpacked: if its bytes are a tar. */
  settle(plan: Plan, signal: AbortSignal): Promise<SettledPlan>;
  /** Merges the layers, tars in the form in which they are stored. Calls `note` with what is not shown. @throws `corrupt`; `unmountable`. */
  merge(
    plan: SettledPlan & { readonly stored: LayerForm },
    selection: Selection,
    note: (text: string) => void,
    signal: AbortSignal,
  ): Promise<DirectoryNode>;
};

export type SettledLayer = Exclude<LayerPlan, { form: 'detected' }>;
export type SettledPlan = { readonly kind: Plan['kind']; readonly layers: readonly SettledLayer[] };

/** @param maxEntries most entries of all layers of one artifact together. */
export function createTrees(layers: Layers, maxEntries: number): Trees {
  /** In slices, because there may be twenty thousand layers. */
  const build = async (
    plan: SettledPlan,
    hidden: Few,
    addTar: (tree: TreeBuilder, layer: TarPlan) => Promise<void>,
    signal: AbortSignal,
  ): Promise<DirectoryNode> => {
    const tree = createTreeBuilder(plan.kind, createTreeBudget(maxEntries), hidden);
    const pace = startPace(signal);
    for (const layer of plan.layers) {
      const { name, label, descriptor } = layer;
      if (layer.form === 'unpacked') await addTar(tree, layer);
      else tree.addFile(name, { digest: descriptor.digest, size: descriptor.size, label });
      const rest = pace();
      if (rest !== undefined) await rest;
    }
    return tree.root();
  };

  /** Where the root of a tar is placed. The names in a packed directory may begin with its path already. */
  const placeOf = async ({ descriptor, label, into }: TarPlan, signal: AbortSignal): Promise<Path> => {
    const { path = [], packed = false } = into ?? {};
    if (!packed) return path;
    const check = createPathCheck(path, label);
    await layers.readToc(descriptor.digest, some => some.forEach(check.add), signal);
    return check.isBelow() ? [] : path;
  };

  return {
    async verifyNames({ kind, layers: plans }, { subPath }, signal) {
      const certain = plans.filter(layer => layer.form !== 'detected');
      const addEmpty = async (tree: TreeBuilder, { descriptor, label, into }: TarPlan): Promise<void> =>
        void tree.openTar({ kind: 'bodies', digest: descriptor.digest }, label, into?.path);
      const root = await build({ kind, layers: certain }, createFew(), addEmpty, signal);
      if (subPath !== undefined && !canTarsReach(plans, subPath.split('/'))) subTree(root, subPath);
    },
    async settle({ kind, layers: plans }, signal) {
      const settled: SettledLayer[] = [];
      const pace = startPace(signal);
      for (const plan of plans) {
        if (plan.form !== 'detected') settled.push(plan);
        else if (await layers.has(plan.descriptor.digest)) settled.push({ ...plan, form: 'unpacked' });
        else settled.push({ ...plan, form: 'file' });
        const rest = pace();
        if (rest !== undefined) await rest;
      }
      return { kind, layers: settled };
    },
    async merge(plan, selection, note, signal) {
      const addTar = async (tree: TreeBuilder, layer: TarPlan): Promise<void> => {
        const { digest } = layer.descriptor;
        const content = { kind: plan.stored, digest } as const;
        const entries = tree.openTar(content, layer.label, await placeOf(layer, signal));
        const toc = await layers.readToc(digest, some => some.forEach(entries.add), signal, plan.stored);
        verifyToc(layer, toc?.diffId);
        toc?.notes.forEach(note);
        entries.notes().forEach(note);
      };
      const hidden = createFew();
      const root = await build(plan, hidden, addTar, signal);
      const list = hidden.format();
      if (list !== undefined) note(`layers hide files of earlier layers: ${list}`);
      return selection.subPath === undefined ? root : subTree(root, selection.subPath);
    },
  };
}

type TarPlan = Extract<SettledLayer, { form: 'unpacked' }>;
type Path = readonly string[];

function verifyToc({ descriptor, label, diffId }: TarPlan, found: string | undefined): void {
  if (found === undefined)
    throw new ArtifactError('internal', `${label} (${descriptor.digest}) left the cache while it was in use`);
  if (diffId === undefined || diffId === found) return;
  throw new ArtifactError(
    'unmountable',
    `the uncompressed bytes of ${label} (${descriptor.mediaType}) are ${found}, but the artifact promises ${diffId}; push it again`,
  );
}
