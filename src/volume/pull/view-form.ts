import type { LayerPlan, Plan } from '../../oci/plan.ts';
import type { PublishRequest } from '../../ports/request.ts';
import type { Layers, Views } from '../../ports/store.ts';
import type { LayerForm } from '../../tree/toc.ts';
import { ArtifactError } from '../../util/error.ts';
import type { SettledPlan } from './trees.ts';

/** Decides in which form the tar layers of a view are stored, and so whether it is an image or a tree. */
type LayerForms = {
  /**
   * Returns the form of a new view. An image needs all of its files in tars: whole files stay links, of which the
   * kernel caches one copy. Layers that are bodies already stay that.
   */
  choose(plan: Plan): LayerForm;
  /** Returns the form of an existing view, if its layers are still stored in that, else the chosen one. */
  keep(key: string, plan: SettledPlan, chosen: LayerForm): Promise<LayerForm>;
};

/** The layers of an image: each is a device, and so an open file while it is mounted. */
const maxLayers = 128;

/** Whether the view of a plan may be an image: all of its layers are tars. */
export function fitsImage({ layers }: Plan): boolean {
  return layers.length > 0 && layers.length <= maxLayers && layers.every(({ form }) => form === 'unpacked');
}

/** @param hasImages whether views can be images over the tars of their layers. */
export function createLayerForms(
  { layers, views }: { readonly layers: Pick<Layers, 'form' | 'has'>; readonly views: Pick<Views, 'find'> },
  hasImages: boolean,
): LayerForms {
  const isFree = ({ descriptor }: LayerPlan): boolean => layers.form(descriptor.digest) !== 'bodies';
  return {
    choose: plan => (hasImages && fitsImage(plan) && plan.layers.every(isFree) ? 'tar' : 'bodies'),
    async keep(key, plan, chosen) {
      const view = await views.find(key);
      if (view === undefined) return chosen;
      const kept = view.image === undefined ? 'bodies' : 'tar';
      for (const { form, descriptor } of plan.layers)
        if (form === 'unpacked' && !(await layers.has(descriptor.digest, kept))) return chosen;
      return kept;
    },
  };
}

/**
 * Container runtimes clear the read-only flag of the pod's own copy of a mount, unless the volume is requested
 * read-only. The pod could then write to a tree of hard links, and so to the cache. Nobody can write to an image.
 *
 * @throws ArtifactError `invalid`.
 */
export function verifyProtected({ isWritable }: Pick<PublishRequest, 'isWritable'>, isImage: boolean): void {
  if (isWritable !== true || isImage) return;
  throw new ArtifactError(
    'invalid',
    'the volume is not read-only; set readOnly: true under volumes[].csi (for a claim: persistentVolumeClaim.readOnly: true, because its access mode alone does not make it so)',
  );
}
