import { hash } from 'node:crypto';
import type { Digest } from '../../oci/digest.ts';
import type { Manifest } from '../../oci/manifest.ts';
import { type LayerPlan, type Plan, planLayers } from '../../oci/plan.ts';
import type { Content } from '../../ports/registry.ts';
import type { Selection } from '../../ports/request.ts';
import type { Item, View } from '../../ports/store.ts';
import { doInSlices, startPace } from '../../util/pace.ts';
import { viewId } from '../cache/leases.ts';

/** The manifest for a platform. `documents` were read to find it: indexes, itself, and a config if it was needed. */
export type Selected = {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly diffIds?: readonly string[];
  readonly documents: readonly Content[];
};

/** What a plan of a view is made from. */
export type PlanParts = {
  readonly reference: string;
  readonly selected: Selected;
  readonly selection: Selection;
  readonly key: string;
};

/** A resolved artifact and the plan of its view. Its content may not be cached yet. */
export type ViewPlan = PlanParts & {
  readonly plan: Plan;
  /** All content from the registry that the view shows or was resolved by. */
  readonly contents: readonly Content[];
  /** Every digest from the reference to the view. */
  readonly digests: readonly Digest[];
  /** Every lease id that protects the view and its content while it is built. */
  readonly held: ReadonlySet<string>;
};

/** Increases whenever the same manifest and options would give another tree. */
const viewFormat = 3;

/** The key of a view: a hash of everything that determines its content. */
export function viewKey(manifest: Digest, selection: Selection): string {
  const { unpack, include, exclude, subPath } = selection;
  const options = [viewFormat, manifest, unpack, [...include].sort(), [...exclude].sort(), subPath ?? ''];
  return hash('sha256', JSON.stringify(options));
}

/** In slices: there may be 20,000 layers. @throws as `planLayers`; the signal's reason. */
export async function planView(parts: PlanParts, signal: AbortSignal): Promise<ViewPlan> {
  const { selected, selection, reference } = parts;
  const planning = planLayers(selected.manifest, selected.diffIds, selection, reference);
  return await toViewPlan(parts, await doInSlices(planning, signal), signal);
}

/** @param known of an earlier plan of the same view. */
export async function toViewPlan(
  parts: PlanParts,
  plan: Plan,
  signal: AbortSignal,
  known?: Pick<ViewPlan, 'digests' | 'held'>,
): Promise<ViewPlan> {
  const pace = startPace(signal);
  const { selected, key } = parts;
  const blobs = plan.layers.map(({ descriptor }) => ({ kind: 'blob' as const, descriptor }));
  const contents = [...selected.documents, ...blobs];
  if (known !== undefined) return { ...parts, plan, contents, digests: known.digests, held: known.held };
  await pace();
  const digests = [...new Set(contents.map(({ descriptor }) => descriptor.digest))];
  await pace();
  return { ...parts, plan, contents, digests, held: new Set([viewId(key), ...digests]) };
}

/**
 * The stored items of that content, each once. For layers whose form depends on their bytes, the form that the view
 * has; without a view, both forms.
 */
export function itemsOf({ selected, plan }: ViewPlan, view?: View): readonly Item[] {
  const unpacked = new Set(view?.layers);
  const blobs = new Set(selected.documents.map(({ descriptor }) => descriptor.digest));
  const layers = new Set<Digest>();
  for (const { form, descriptor } of plan.layers) {
    const { digest } = descriptor;
    const isEither = form === 'detected' && view === undefined;
    const isUnpacked = form === 'unpacked' || (form === 'detected' && unpacked.has(digest));
    if (isUnpacked || isEither) layers.add(digest);
    if (!isUnpacked) blobs.add(digest);
  }
  const all: Item[] = [];
  for (const digest of blobs) all.push({ kind: 'blobs', digest });
  for (const digest of layers) all.push({ kind: 'layers', digest });
  return all;
}

/** Each layer in each form, once. */
export async function uniqueLayers(
  plans: readonly LayerPlan[],
  signal: AbortSignal,
): Promise<readonly LayerPlan[]> {
  const pace = startPace(signal);
  const byKey = new Map<string, LayerPlan>();
  for (const layer of plans) {
    byKey.set(`${layer.form} ${layer.descriptor.digest}`, layer);
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return [...byKey.values()];
}

/** Those of the layers that are not cached. */
export async function findMissing(
  unique: readonly LayerPlan[],
  isHeld: (layer: LayerPlan) => Promise<boolean>,
  signal: AbortSignal,
): Promise<readonly LayerPlan[]> {
  const pace = startPace(signal);
  const lookedAtAtOnce = 32; // enough to keep a disk busy while layers are examined for tars
  const missing: LayerPlan[] = [];
  for (let at = 0; at < unique.length; at += lookedAtAtOnce) {
    const some = unique.slice(at, at + lookedAtAtOnce);
    const held = await Promise.all(some.map(layer => isHeld(layer)));
    missing.push(...some.filter((_, index) => held[index] === false));
    await pace();
  }
  return missing;
}
