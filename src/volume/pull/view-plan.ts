import { createHash } from 'node:crypto';
import type { Digest } from '../../oci/digest.ts';
import type { Manifest } from '../../oci/manifest.ts';
import type { LayerPlan, Plan } from '../../oci/plan.ts';
import type { Content } from '../../ports/registry.ts';
import type { Selection } from '../../ports/request.ts';
import type { Item, View } from '../../ports/store.ts';
import { startPace } from '../../util/pace.ts';
import { viewId } from '../cache/leases.ts';

/** The manifest for a platform. `documents` were read to find it: indexes, itself, and a config if it was needed. */
export type Selected = {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly diffIds?: readonly string[];
  readonly documents: readonly Content[];
};

/** A resolved artifact and the plan of its view. Its content may not be cached yet. */
export type ViewPlan = {
  readonly reference: string;
  readonly selected: Selected;
  readonly plan: Plan;
  readonly selection: Selection;
  readonly key: string;
};

/** Increases whenever the same manifest and options would give another tree. */
const viewFormat = 3;

/** The key of a view: a hash of everything that determines its content. */
export function viewKey(manifest: Digest, selection: Selection): string {
  const { unpack, include, exclude, subPath } = selection;
  const options = [viewFormat, manifest, unpack, [...include].sort(), [...exclude].sort(), subPath ?? ''];
  return createHash('sha256').update(JSON.stringify(options)).digest('hex');
}

/** All content from the registry that a view shows or was resolved by. */
export function contentsOf({ selected, plan }: ViewPlan): readonly Content[] {
  return [
    ...selected.documents,
    ...plan.layers.map(({ descriptor }) => ({ kind: 'blob' as const, descriptor })),
  ];
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

/** Every digest from a reference to its view. */
export function digestsOf(viewPlan: ViewPlan): readonly Digest[] {
  return [...new Set(contentsOf(viewPlan).map(content => content.descriptor.digest))];
}

/** Every lease id that protects a view and its content while it is built. */
export function heldBy(viewPlan: ViewPlan): readonly string[] {
  return [viewId(viewPlan.key), ...digestsOf(viewPlan)];
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
