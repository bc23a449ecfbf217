import type { Digest } from '../../oci/digest.ts';
import { parseManifest } from '../../oci/manifest.ts';
import { doAtOnce } from '../../util/pace.ts';
import type { Mounter } from '../../ports/mounter.ts';
import type { VolumeRecord, VolumeRecords } from '../../ports/records.ts';
import type { Blobs, ViewRecord } from '../../ports/store.ts';
import { findShowing } from './shown.ts';

/** The trees of views that have no record. */
type LostViews = {
  listLost(): Promise<readonly string[]>;
  /** Gives one its record again. */
  restore(record: ViewRecord): Promise<void>;
  remove(key: string): Promise<void>;
};

/**
 * Looks after views that lost their record, at start and once volumes are reconciled. One that a volume's record names
 * gets it again, so that collection leaves what it is made of. Another one is removed, unless it is mounted: then a pod has
 * it still, and the next publish of the same writes the record. @returns what was done, a line for each.
 */
export async function restoreViews(world: {
  readonly blobs: Pick<Blobs, 'read'>;
  readonly views: LostViews;
  readonly volumes: Pick<VolumeRecords, 'list'>;
  readonly mounter: Pick<Mounter, 'list'>;
  readonly viewsFolder: string;
}): Promise<readonly string[]> {
  const { blobs, views, volumes, mounter, viewsFolder } = world;
  const lost = await views.listLost();
  if (lost.length === 0) return [];
  const users = new Map((await volumes.list()).map(record => [record.view, record]));
  const mounted = await mounter.list(viewsFolder);

  const lookAfter = async (key: string): Promise<string> => {
    const user = users.get(key);
    if (user !== undefined) {
      await views.restore(await toViewRecord(user, blobs));
      return `it is written anew, of the volume at ${user.targetPath}`;
    }
    const mount = findShowing(mounted, `${viewsFolder}/${key}`);
    if (mount !== undefined) return `it stays, for ${mount.target} shows it`;
    views.remove(key).catch(() => {}); // it may be large; what is left of it is the next start's
    return 'it is removed, and built again when it is asked for';
  };

  const notes: string[] = [];
  for (const key of lost) notes.push(`the view ${key} had no record: ${await lookAfter(key)}`);
  return notes;
}

/** What the manifest lists is more than the view holds where parts were left out; that only keeps them longer. */
async function toViewRecord(volume: VolumeRecord, blobs: Pick<Blobs, 'read'>): Promise<ViewRecord> {
  const manifest = await blobs.read(volume.manifest).then(
    bytes => doAtOnce(parseManifest(bytes, '', volume.resolved)),
    () => undefined,
  );
  const contents: readonly Digest[] =
    manifest?.kind === 'manifest' ? [manifest.config, ...manifest.layers].map(({ digest }) => digest) : [];
  return {
    key: volume.view,
    manifest: volume.manifest,
    reference: volume.resolved,
    ...(manifest?.artifactType === undefined ? {} : { artifactType: manifest.artifactType }),
    blobs: [...new Set([volume.digest, volume.manifest, ...contents])],
    layers: contents,
    bytes: volume.bytes,
    inodes: volume.inodes,
  };
}
