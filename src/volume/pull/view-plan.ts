import { createHash } from 'node:crypto';
import type { Digest } from '../../oci/digest.ts';
import type { Manifest } from '../../oci/manifest.ts';
import type { LayerPlan, Plan } from '../../oci/plan.ts';
import type { Content } from '../../ports/registry.ts';
import type { Item, View } from '../../ports/store.ts';
import { viewId } from '../cache/leases.ts';
import type { Selection } from '../../ports/request.ts';

/** The manifest that a platform mounts. `documents` led to it: indexes, itself, and a config that had to be read. */
export type Selected = {
  readonly digest: Digest;
  readonly manifest: Manifest;
  readonly diffIds?: readonly string[];
  readonly documents: readonly Content[];
};

/** An artifact that is understood but perhaps not here: what its view will be made of. */
export type ViewPlan = {
  readonly reference: string;
  readonly selected: Selected;
  readonly plan: Plan;
  readonly selection: Selection;
  readonly key: string;
};

/** Changes whenever the same manifest and options would give another tree than before. */
const viewFormat = 3;

/** The view's name: everything that decides its content, and nothing else. */
export function viewKey(manifest: Digest, selection: Selection): string {
  const { unpack, include, exclude, subPath } = selection;
  const options = [viewFormat, manifest, unpack, [...include].sort(), [...exclude].sort(), subPath ?? ''];
  return createHash('sha256').update(JSON.stringify(options)).digest('hex');
}

/** Everything of the registry that a view shows or was found by. */
export function contentsOf({ selected, plan }: ViewPlan): readonly Content[] {
  return [
    ...selected.documents,
    ...plan.layers.map(({ descriptor }) => ({ kind: 'blob' as const, descriptor })),
  ];
}

/** The same, as it lies in the store, each once. What the bytes decide is as the view has it, and without one it may be either. */
export function itemsOf({ selected, plan }: ViewPlan, view?: View): readonly Item[] {
  const unpacked = new Set(view?.layers);
  const kindsOf = ({ form, descriptor }: LayerPlan): readonly Item['kind'][] => {
    if (form === 'file') return ['blobs'];
    if (form === 'unpacked') return ['layers'];
    if (view === undefined) return ['blobs', 'layers'];
    return [unpacked.has(descriptor.digest) ? 'layers' : 'blobs'];
  };
  const all: readonly Item[] = [
    ...selected.documents.map(({ descriptor: { digest } }) => ({ kind: 'blobs', digest }) as const),
    ...plan.layers.flatMap(layer => kindsOf(layer).map(kind => ({ kind, digest: layer.descriptor.digest }))),
  ];
  return [...new Map(all.map(item => [`${item.kind} ${item.digest}`, item])).values()];
}

/** Every digest on the way from what a reference named to its view. */
export function digestsOf(viewPlan: ViewPlan): readonly Digest[] {
  return [...new Set(contentsOf(viewPlan).map(content => content.descriptor.digest))];
}

/** Every id that collection must leave while a plan becomes a view. */
export function heldBy(viewPlan: ViewPlan): readonly string[] {
  return [viewId(viewPlan.key), ...digestsOf(viewPlan)];
}
