import type { Kubelet } from '../../ports/kubelet.ts';
import type { ImageMounts, Mounter, Target } from '../../ports/mounter.ts';
import type { VolumeRecords } from '../../ports/records.ts';
import { toArtifactError } from '../../util/error.ts';
import { toTarget } from '../manual-mount.ts';
import { podOf } from '../pull/wanter.ts';

/** The results of a reconciliation. */
export type Reconciled = {
  readonly volumes: number;
  readonly mounted: number;
  readonly removed: number;
  readonly notes: readonly string[];
};

/**
 * Compares the records with the mount table and kubelet's pods, at start. Ends volumes whose pods are gone, and
 * unmounts what is still mounted for them. A record without a mount stays while its pod exists: after a reboot, the
 * same request gets the same digest again. Mounts without a record whose pod is gone are unmounted, too.
 */
export async function reconcileVolumes(world: {
  readonly volumes: Pick<VolumeRecords, 'list' | 'remove'>;
  readonly mounter: Pick<Mounter, 'list' | 'unmount'>;
  readonly images: Pick<ImageMounts, 'tidy'>;
  readonly kubelet: Kubelet;
  readonly viewsDirectory: string;
}): Promise<Reconciled> {
  const { volumes, mounter, kubelet, viewsDirectory } = world;
  const notes: string[] = [];
  const records = await volumes.list();
  const mounts = await mounter.list(viewsDirectory);
  const mountedAt = new Set(mounts.map(mount => mount.target));
  const recordedAt = new Set(records.map(record => record.targetPath));

  const end = async (target: Target): Promise<boolean> => {
    try {
      await mounter.unmount(target);
      await volumes.remove(target.path);
      return true;
    } catch (thrown) {
      notes.push(`the volume at ${target.path} could not be ended: ${toArtifactError(thrown).message}`);
      return false;
    }
  };

  let removed = 0;
  for (const record of records) {
    const { targetPath, anywhere, pod } = record;
    const uid = anywhere ? undefined : (pod?.uid ?? podOf(targetPath));
    const over = uid === undefined ? !mountedAt.has(targetPath) && anywhere : !(await kubelet.hasPod(uid));
    if (over && (await end(toTarget(record)))) removed++;
  }
  for (const { target } of mounts) {
    const uid = recordedAt.has(target) ? undefined : podOf(target);
    if (uid !== undefined && !(await kubelet.hasPod(uid)) && (await end({ path: target, anywhere: false })))
      removed++;
  }
  notes.push(...world.images.tidy());
  return { volumes: records.length, mounted: mounts.length, removed, notes };
}
