import type { LayerPlan, Plan } from '../../oci/plan.ts';
import { canTarsReach } from '../../oci/tar-reach.ts';
import { parseTreePath } from '../../oci/tree-path.ts';
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
import type { LayerForm, TocEntry } from '../../tree/toc.ts';
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
  /**
   * Merges the layers, tars in the form in which they are stored. Calls `note` with what is not shown. @throws
   * `corrupt`; `unmountable`.
   */
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
export function createTrees(layers: Pick<Layers, 'has' | 'readToc'>, maxEntries: number): Trees {
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

  /** Returns the packed tars of a plan whose names do not all begin with their path. */
  const findOutside = async (plan: SettledPlan, signal: AbortSignal): Promise<ReadonlySet<TarPlan>> => {
    const outside = new Set<TarPlan>();
    for (const layer of plan.layers.filter(isPacked)) {
      const { label, descriptor, into } = layer;
      const check = createPathCheck(into?.path ?? []);
      const take = (some: readonly TocEntry[]): void =>
        some.forEach(({ path, kind }) => check.add(parseTreePath(path, label), kind));
      await layers.readToc(descriptor.digest, take, signal);
      if (!check.isBelow()) outside.add(layer);
    }
    return outside;
  };

  /** @throws also if names of another packed tar than these do not begin with its path. */
  const mergeAll = async (
    plan: SettledPlan & { readonly stored: LayerForm },
    outside: ReadonlySet<TarPlan>,
    signal: AbortSignal,
  ): Promise<{ readonly root: DirectoryNode; readonly notes: readonly string[] }> => {
    const notes: string[] = [];
    const addTar = async (tree: TreeBuilder, layer: TarPlan): Promise<void> => {
      const { descriptor, label, into } = layer;
      const { digest } = descriptor;
      const path = into?.path ?? [];
      const check = isPacked(layer) && !outside.has(layer) ? createPathCheck(path) : undefined;
      const entries = tree.openTar({ kind: plan.stored, digest }, label, check === undefined ? path : []);
      const take = (some: readonly TocEntry[]): void => {
        for (const entry of some) {
          entries.add(entry);
          check?.add(parseTreePath(entry.path, label), entry.kind);
        }
      };
      const toc = await layers.readToc(digest, take, signal, plan.stored);
      verifyToc(layer, toc?.diffId);
      if (check?.isBelow() === false) throw new Error(`${label} has names that do not begin with its path`);
      notes.push(...(toc?.notes ?? []), ...entries.notes());
    };
    const hidden = createFew();
    const root = await build(plan, hidden, addTar, signal);
    const list = hidden.format();
    if (list !== undefined) notes.push(`layers hide files of earlier layers: ${list}`);
    return { root, notes };
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
      // The names of a packed tar nearly always begin with its path: then each table is read once.
      const merged = await mergeAll(plan, new Set(), signal).catch(async (thrown: unknown) => {
        if (!plan.layers.some(isPacked)) throw thrown;
        return mergeAll(plan, await findOutside(plan, signal), signal);
      });
      merged.notes.forEach(note);
      return selection.subPath === undefined ? merged.root : subTree(merged.root, selection.subPath);
    },
  };
}

type TarPlan = Extract<SettledLayer, { form: 'unpacked' }>;

/** Whether the names of a tar may begin with its path already. */
function isPacked(layer: SettledLayer): layer is TarPlan {
  return layer.form === 'unpacked' && layer.into?.packed === true;
}

function verifyToc({ descriptor, label, diffId }: TarPlan, found: string | undefined): void {
  if (found === undefined)
    throw new ArtifactError('internal', `${label} (${descriptor.digest}) left the cache while it was in use`);
  if (diffId === undefined || diffId === found) return;
  throw new ArtifactError(
    'unmountable',
    `the uncompressed bytes of ${label} (${descriptor.mediaType}) are ${found}, but the artifact promises ${diffId}; push it again`,
  );
}
