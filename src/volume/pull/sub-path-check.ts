import type { LayerPlan, Plan } from '../../oci/plan.ts';
import { toArtifactError } from '../../util/error.ts';

/** Counts the layers of a view that arrive. */
export type SubPathCheck = {
  /** Verifies the subPath once no tar is missing. @throws ArtifactError `unmountable` if the artifact does not have it. */
  verify(): Promise<void>;
  came(layer: LayerPlan): Promise<void>;
};

/**
 * Refuses a subPath that the artifact does not have before its files are downloaded: as soon as its tars are here.
 *
 * @param wanted the layers that are downloaded.
 * @param merge builds the tree, and throws as verify.
 */
export function createSubPathCheck(
  { layers }: Plan,
  wanted: readonly LayerPlan[],
  merge: () => Promise<void>,
): SubPathCheck {
  const isTar = ({ form }: LayerPlan): boolean => form !== 'file';
  const tars = new Set(wanted.filter(isTar));
  let left = wanted.length;
  // Without a tar, the names of the layers have decided it.
  let isOpen = layers.some(isTar);
  const verify = async (): Promise<void> => {
    if (!isOpen || tars.size > 0 || left === 0) return;
    isOpen = false;
    try {
      await merge();
    } catch (thrown) {
      // What else may be wrong is found when the view is built, and repaired if it can be.
      if (toArtifactError(thrown).code === 'unmountable') throw thrown;
    }
  };
  return {
    verify,
    async came(layer) {
      left--;
      tars.delete(layer);
      await verify();
    },
  };
}
