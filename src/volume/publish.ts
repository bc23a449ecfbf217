import { formatReference } from '../oci/reference.ts';
import type { ImageMounts, Mounter, Target, TargetState } from '../ports/mounter.ts';
import type { Publishing } from '../ports/publishing.ts';
import type { Names, VolumeRecord, VolumeRecords } from '../ports/records.ts';
import type { PublishRequest } from '../ports/request.ts';
import type { View, Views } from '../ports/store.ts';
import type { Progress } from '../ports/usecases.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { createKeyedMutex, type KeyedMutex } from '../util/mutex.ts';
import { quoteName } from '../util/name.ts';
import type { PublishReports } from './events/publish-reports.ts';
import type { FailingVolumes } from './failing-volumes.ts';
import { formatEnding, toTarget } from './manual-mount.ts';
import type { OnDemand } from './on-demand/on-demand.ts';
import type { Pull, PulledView } from './pull/pull.ts';
import { verifyProtected } from './pull/view-form.ts';
import { toUnfinished } from './unfinished.ts';
import type { VolumeStatusReader } from './volume-status.ts';

/** How often a view may be found damaged during its mount before the disk is considered faulty. */
const attempts = 3;
/** How long a volume's statistics wait for the Kubernetes API, ms; kubelet asks for those of each volume in turn. */
const labelsMs = 2_000;

/**
 * Publishes volumes at target paths. One call at a time works on a target; another gets `busy`. The record is on disk
 * before the mount, so that garbage collection keeps what is mounted. Both are undone before an error is returned.
 */
export function createPublishing(world: {
  readonly pull: Pull;
  readonly volumes: Pick<VolumeRecords, 'find' | 'put' | 'remove' | 'listBrief'>;
  readonly names: Pick<Names, 'touch'>;
  readonly views: Pick<Views, 'find' | 'touch' | 'distrust'>;
  readonly mounter: Mounter;
  readonly images: ImageMounts;
  /** Locks by view: a view is not taken out of use while it is being mounted. */
  readonly viewTurns: Pick<KeyedMutex, 'lock'>;
  /** @throws ArtifactError `unavailable` with why no record can be written. */
  readonly verifyWritable: () => void;
  readonly onDemand: Pick<OnDemand, 'again' | 'ended'>;
  readonly statusOf: VolumeStatusReader;
  readonly failing: Pick<FailingVolumes, 'failed' | 'ended'>;
  /** Undefined: the owners of pods are not told. */
  readonly reports?: PublishReports | undefined;
}): Publishing {
  const { pull, volumes, names, views, mounter, images, viewTurns, failing } = world;
  const targets = createKeyedMutex();

  const take = (target: Target): Disposable => {
    const lock = targets.tryLock(target.path);
    if (lock !== undefined) return lock;
    throw new ArtifactError(
      'busy',
      `another call for the volume at ${target.path} is still under way; kubelet tries again by itself`,
    );
  };

  /** Succeeds if the volume is already published at the target. @throws if another volume is. */
  const published = async (
    request: PublishRequest,
    record: VolumeRecord,
  ): Promise<VolumeRecord | undefined> => {
    const view = await views.find(record.view);
    const state = await mounter.state(targetOf(request), view && images.shown(view));
    if (state.kind !== 'mounted' || state.shows !== 'view' || !state.readOnly) return undefined;
    if (record.fingerprint === request.fingerprint) return record;
    throw new ArtifactError(
      'exists',
      `${request.targetPath} is already mounted: it shows ${record.resolved} for volume ${record.volumeId}, with other parameters; ${formatEnding(record)} first`,
    );
  };

  /** The state of a target that can be mounted on. */
  const look = async (target: Target, view: string | undefined): Promise<TargetState> => {
    const state = await mounter.state(target, view);
    if (state.kind !== 'occupied') return state;
    throw new ArtifactError(
      'exists',
      `${target.path} contains ${quoteName(state.entry)}, which a volume mounted there would hide; give an empty directory, or one that does not exist`,
    );
  };

  const raise = (view: View): void => {
    try {
      images.raise(view);
    } catch (thrown) {
      views.distrust(view.key); // the next call compares it: the kernel may refuse it because it is damaged
      throw thrown;
    }
  };

  const mount = async (
    request: PublishRequest,
    pulled: PulledView,
    before: VolumeRecord | undefined,
    keepsDirectory: boolean,
  ): Promise<VolumeRecord> => {
    const target = { ...targetOf(request), keepsDirectory };
    const record = { ...toRecord(request, pulled, before), ...(keepsDirectory && { keepsFolder: true }) };
    const state = await look(target, images.shown(pulled.view));
    const isThere = state.kind === 'mounted' && state.shows === 'view' && state.readOnly;
    if (state.kind === 'mounted' && state.shows === 'other') {
      throw new ArtifactError(
        'exists',
        `${target.path} has a mount that is not of this driver; on the node: findmnt ${target.path}, then umount ${target.path}`,
      );
    }
    if (state.kind === 'mounted' && !isThere) await mounter.unmount(target);
    await volumes.put(record);
    if (isThere) return record;
    try {
      raise(pulled.view);
      await mounter.mount(images.shown(pulled.view), target, request.mountFlags);
    } catch (thrown) {
      images.tidy();
      await (before === undefined ? volumes.remove(target.path) : volumes.put(before));
      throw thrown;
    }
    return record;
  };

  return {
    async publish(request, signal) {
      using report = world.reports?.open(request);
      let latest: Progress | undefined;
      try {
        using _target = take(targetOf(request));
        const record = await volumes.find(request.targetPath);
        const there = record === undefined ? undefined : await published(request, record);
        if (there !== undefined) {
          failing.ended(there.targetPath);
          world.onDemand.again(there, request);
          return there;
        }
        world.verifyWritable(); // before a registry is asked, because kubelet retries
        const state = await look(targetOf(request), undefined); // not after hours of download
        const wasThere = record === undefined ? state.kind === 'empty' : record.keepsFolder === true;
        const keepsDirectory = request.anywhere && wasThere;
        const before = record?.fingerprint === request.fingerprint ? record : undefined;
        const onProgress = (progress: Progress): void => {
          latest = progress;
          report?.progress(progress);
        };
        for (let attempt = 0; attempt < attempts; attempt++) {
          using pulled = await pull.pull(recall(request, before), onProgress, signal);
          verifyProtected(request, pulled.view.image !== undefined);
          using _turn = await viewTurns.lock(pulled.view.key, signal);
          signal.throwIfAborted();
          if ((await views.find(pulled.view.key)) === undefined) continue; // it was found damaged meanwhile
          const volume = await mount(request, pulled, before, keepsDirectory);
          const published = { ...volume, origin: pulled.origin };
          failing.ended(request.targetPath);
          report?.mounted(published);
          return published;
        }
        throw new ArtifactError(
          'corrupt',
          `the view of ${request.reference} was found damaged ${attempts} times between its check and its mount; check the disk of the node, and run fsck --repair`,
        );
      } catch (thrown) {
        if (signal.aborted) {
          const unfinished = toUnfinished(request, signal.reason, latest, pull.list());
          if (unfinished.isFailing) failing.failed(request, unfinished.error);
          throw unfinished.error;
        }
        const error = toArtifactError(thrown);
        if (error.code === 'busy') throw thrown;
        if (!request.anywhere) failing.failed(request, error); // a command shows its error, and does not call again
        report?.failed(error);
        throw thrown;
      }
    },
    async unpublish(target, signal) {
      signal.throwIfAborted();
      failing.ended(target.path);
      using _target = take(target);
      const record = await volumes.find(target.path);
      if (record === undefined) await mounter.unmountView(target);
      else await mounter.unmount(toTarget(record));
      await volumes.remove(target.path);
      if (record === undefined) return undefined;
      await world.onDemand.ended(record.view);
      // A volume must end although the time of its last use cannot be written on a read-only disk.
      await views.touch(record.view).catch(() => {});
      await names.touch(record.resolved).catch(() => {});
      const view = await views.find(record.view).catch(() => undefined);
      if (view === undefined || view.image !== undefined) images.tidy(); // what fails is tried again in the background
      return record;
    },
    async stats(volumeId, path, signal) {
      const records = path === undefined ? await volumes.listBrief() : [await volumes.find(path)];
      const record = records.find(found => found?.volumeId === volumeId);
      if (record === undefined) {
        const where = path === undefined ? 'on this node' : `at ${path}`;
        throw new ArtifactError('not-found', `volume ${volumeId} is not published ${where}`);
      }
      return world.statusOf(record, AbortSignal.any([signal, AbortSignal.timeout(labelsMs)]));
    },
  };
}

/** After a reboot there is a record and no mount: the pod gets the recorded digest again. */
function recall(request: PublishRequest, before: VolumeRecord | undefined): PublishRequest {
  if (before === undefined) return request;
  return {
    ...request,
    reference: before.resolved,
    pinned: before.digest,
    pullPolicy: request.pullPolicy === 'Never' ? 'Never' : 'IfNotPresent',
  };
}

function targetOf(request: PublishRequest): Target {
  return { path: request.targetPath, anywhere: request.anywhere };
}

function toRecord(
  request: PublishRequest,
  { resolution, view, holds }: PulledView,
  before: VolumeRecord | undefined,
): VolumeRecord {
  return {
    volumeId: request.volumeId,
    targetPath: request.targetPath,
    fingerprint: request.fingerprint,
    anywhere: request.anywhere,
    reference: request.reference,
    resolved: before?.resolved ?? formatReference(resolution.reference),
    digest: resolution.descriptor.digest,
    manifest: view.manifest,
    view: view.key,
    bytes: view.bytes,
    inodes: view.inodes,
    holds,
    ...(request.pod === undefined ? {} : { pod: request.pod }),
    publishedAt: Date.now(),
  };
}
