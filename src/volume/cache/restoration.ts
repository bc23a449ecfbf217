import type { Digest } from '../../oci/digest.ts';
import { parseManifest } from '../../oci/manifest.ts';
import type { Mounter } from '../../ports/mounter.ts';
import type { VolumeRecord, VolumeRecords } from '../../ports/records.ts';
import type { Blobs, ViewRecord } from '../../ports/store.ts';
import { toArtifactError } from '../../util/error.ts';
import { doAtOnce } from '../../util/pace.ts';
import { findShowing } from './shown.ts';

/** The trees of views without a record. */
type LostViews = {
  listLost(): Promise<readonly string[]>;
  /** Writes the record of one. Returns whether it is complete: an image may lack its layers. */
  restore(record: ViewRecord): Promise<boolean>;
  remove(key: string): Promise<void>;
};

/**
 * Handles views that lost their record, after volumes are reconciled at start. A view that a volume's record names gets
 * its record back, so that garbage collection keeps its content. Another view is removed, unless it is mounted: then
 * the next publish of the same view writes the record. @returns what was done, one line each.
 */
export async function restoreViews(world: {
  readonly blobs: Pick<Blobs, 'read'>;
  readonly views: LostViews;
  readonly volumes: Pick<VolumeRecords, 'list'>;
  readonly mounter: Pick<Mounter, 'list'>;
  readonly viewsDirectory: string;
}): Promise<readonly string[]> {
  const { blobs, views, volumes, mounter, viewsDirectory } = world;
  const lost = await views.listLost();
  if (lost.length === 0) return [];
  const users = new Map((await volumes.list()).map(record => [record.view, record]));
  const mounted = await mounter.list(viewsDirectory);

  const lookAfter = async (key: string): Promise<string> => {
    const user = users.get(key);
    if (user !== undefined) {
      const isWhole = await views.restore(await toViewRecord(user, blobs));
      return `it is written anew, of the volume at ${user.targetPath}${isWhole ? '' : '; files of it are missing, and are pulled again when it is asked for'}`;
    }
    const mount = findShowing(mounted, viewsDirectory, key);
    if (mount !== undefined) return `it stays, for ${mount.target} shows it`;
    views.remove(key).catch(() => {}); // it may be large; the next start removes what is left
    return 'it is removed, and built again when it is asked for';
  };

  const stays = (thrown: unknown): string => `it stays as it is: ${toArtifactError(thrown).message}`;
  return Array.fromAsync(
    lost,
    async key => `the view ${key} had no record: ${await lookAfter(key).catch(stays)}`,
  );
}

/** The manifest may list more than the view contains, if parts were excluded. That only keeps them longer. */
async function toViewRecord(volume: VolumeRecord, blobs: Pick<Blobs, 'read'>): Promise<ViewRecord> {
  const manifest = await blobs
    .read(volume.manifest)
    .then(bytes => doAtOnce(parseManifest(bytes, '', volume.resolved)))
    .catch(() => undefined); // its layers are found when it is asked for
  const isKnown = manifest?.kind === 'manifest';
  const layers: readonly Digest[] = isKnown ? manifest.layers.map(({ digest }) => digest) : [];
  const config = isKnown ? [manifest.config.digest] : [];
  return {
    key: volume.view,
    manifest: volume.manifest,
    reference: volume.resolved,
    ...(manifest?.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    blobs: [...new Set([volume.digest, volume.manifest, ...config, ...layers])],
    layers,
    bytes: volume.bytes,
    inodes: volume.inodes,
  };
}
