import type { Digest } from '../../oci/digest.ts';
import type { LayerPlan, Plan } from '../../oci/plan.ts';
import { ArtifactError } from '../../util/error.ts';
import { createRecall } from '../../util/memo.ts';
import { type PlanParts, planView, toViewPlan, type ViewPlan } from './view-plan.ts';

/** Remembers the plans of the latest views: a repeated publish of 1,000 layers plans none of them. */
export type PlanMemory = {
  /** Plans a view, or completes what is remembered of its plan by the manifest at hand. @throws as `planView`. */
  plan(parts: PlanParts, signal: AbortSignal): Promise<ViewPlan>;
};

/**
 * What planning adds to a manifest. The manifest itself is not kept: it may have 4 MiB of annotations and embedded
 * content, also of layers that the view does not show.
 */
type KeptPlan = {
  readonly kind: Plan['kind'];
  readonly layers: readonly KeptLayer[];
  readonly digests: readonly Digest[];
  readonly held: ReadonlySet<string>;
  /** Its size in memory, about. */
  readonly bytes: number;
};

/** `at`: the number of the layer in the manifest. */
type KeptLayer = { readonly at: number; readonly treatment: Treatment<LayerPlan> };
type Treatment<Layer> = Layer extends unknown ? Omit<Layer, 'descriptor'> : never;

/** Bytes of all plans; a plan of 1,000 layers has about 0.8 MB. */
const mostBytes = 8 * 1024 * 1024;

export function createPlanMemory(): PlanMemory {
  const plans = createRecall<string, KeptPlan>(mostBytes, mostBytes / 2);
  return {
    async plan(parts, signal) {
      const { key, reference, selected } = parts;
      const id = [key, reference, ...selected.documents.map(({ descriptor }) => descriptor.digest)].join(' ');
      const kept = plans.get(id);
      if (kept !== undefined) {
        plans.keep(id, kept, kept.bytes);
        return await toViewPlan(parts, complete(kept, parts), signal, kept);
      }
      const planned = await planView(parts, signal);
      const fresh = keep(id, planned);
      plans.keep(id, fresh, fresh.bytes);
      return planned;
    },
  };
}

function keep(id: string, { selected, plan, digests, held }: ViewPlan): KeptPlan {
  const numbers = new Map(selected.manifest.layers.map((descriptor, at) => [descriptor, at]));
  const layers = plan.layers.map(({ descriptor, ...treatment }): KeptLayer => {
    const at = numbers.get(descriptor);
    if (at === undefined) throw foreign(treatment.label);
    return { at, treatment };
  });
  return { kind: plan.kind, layers, digests, held, bytes: sizeOf(id, layers, digests) };
}

/** The documents of a plan are part of its ID, so the manifest is the same. */
function complete({ kind, layers }: KeptPlan, { selected }: PlanParts): Plan {
  const descriptors = selected.manifest.layers;
  return {
    kind,
    layers: layers.map(({ at, treatment }): LayerPlan => {
      const descriptor = descriptors[at];
      if (descriptor === undefined) throw foreign(treatment.label);
      return { ...treatment, descriptor };
    }),
  };
}

function foreign(label: string): ArtifactError {
  return new ArtifactError('internal', `${label}: the plan has this layer, and the manifest does not`);
}

/** About the bytes of memory that are kept: a character may have two, and each layer has some objects. */
function sizeOf(id: string, layers: readonly KeptLayer[], digests: readonly Digest[]): number {
  let characters = id.length;
  let objects = 1;
  for (const { treatment } of layers) {
    const path = ('into' in treatment ? treatment.into?.path : undefined) ?? [];
    characters += treatment.label.length + treatment.name.length;
    for (const part of path) characters += part.length;
    objects += 2 + path.length;
  }
  return 2 * characters + 128 * objects + 256 * digests.length;
}
