import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Direct } from './cli/builder.ts';
import type { Settings } from './cli/settings.ts';
import { toNote } from './configfile/watched-file.ts';
import { openLabels, openPolicies, openSources } from './configuration.ts';
import { openKubeApi } from './kube/api.ts';
import { openCluster } from './kube/cluster.ts';
import { openPodObjects } from './kube/pod-objects.ts';
import { openImageReread } from './mount/image-reread.ts';
import { verifyKernel } from './mount/kernel.ts';
import { openKubeletPods } from './mount/kubelet-pods.ts';
import { openMounts } from './mount/mounts.ts';
import type { Ahead, Node } from './node.ts';
import { toPlatform } from './oci/platform.ts';
import { openHolder, openSharing, openSpread } from './optional-parts.ts';
import type { Meter } from './ports/meter.ts';
import type { NodeStatus } from './ports/node-status.ts';
import { openPrefetching } from './prefetching.ts';
import { openPulling } from './pulling.ts';
import { hashBytes, hashFile } from './store/files/file-hash.ts';
import { openSlowHash } from './store/integrity/slow-hash.ts';
import { formatVerity } from './store/integrity/verity.ts';
import { openStore } from './store/store.ts';
import { formatSupport } from './store/views/image-support.ts';
import { readArchive } from './unpack/archive.ts';
import { openUnpacker } from './unpack/unpacker.ts';
import { toArtifactError } from './util/error.ts';
import { createKeyedMutex } from './util/mutex.ts';
import { openAccessCache } from './volume/access/access-cache.ts';
import { type AccessCheck, createAccessCheck, unrestrictedAccess } from './volume/access/access-check.ts';
import { createSignatureCheck } from './volume/access/signature-check.ts';
import { createArtifacts } from './volume/artifacts.ts';
import { reportCollections } from './volume/cache/collection-report.ts';
import { createCollector } from './volume/cache/collector.ts';
import { createDiskSpace } from './volume/cache/disk-space.ts';
import { inheritHolds } from './volume/cache/inheritance.ts';
import { createIntegrity, type Integrity } from './volume/cache/integrity.ts';
import { createLeases } from './volume/cache/leases.ts';
import { deferRemovals } from './volume/cache/owed-removals.ts';
import { reconcileVolumes } from './volume/cache/reconciliation.ts';
import { restoreViews } from './volume/cache/restoration.ts';
import { createRetirement } from './volume/cache/retirement.ts';
import { createScrub } from './volume/cache/scrub.ts';
import { createUpkeep } from './volume/cache/upkeep.ts';
import { createCatalog } from './volume/catalog.ts';
import {
  createDamageReport,
  createFailedReadReport,
  createLieReport,
} from './volume/events/damage-report.ts';
import { createFailingVolumes } from './volume/failing-volumes.ts';
import { formatOnDemand } from './volume/on-demand/support-text.ts';
import { createPodPublishing } from './volume/pod-publishing.ts';
import { createVolumeStatus } from './volume/volume-status.ts';

/**
 * Opens every adapter over the state directory, reconciles volumes, and creates the use cases. Closing ends the pulls,
 * which can be resumed; mounts stay. On a read-only disk it opens too, so that volumes can end and report.
 *
 * @param direct for a command; one that only reads reconciles nothing. For a daemon, what it has opened before.
 *
 * @throws ArtifactError `busy` while another process has the lock of the state directory.
 */
export async function openNode(
  settings: Settings,
  log: Logger,
  meter: Meter,
  { reads, transport, events, ...ahead }: Direct & Ahead = {},
): Promise<Node> {
  verifyKernel();
  await using stack = new AsyncDisposableStack();
  const store = stack.use(await openStore({ ...settings, log, reads, reread: openImageReread() }));
  const mends = store.reads === undefined;
  const warn = toNote(log);
  const holder = stack.use(await openHolder(ahead.holder, warn));
  const { mounter, images, tryLandings, resumeLandings } = stack.use(openMounts({ ...settings, holder }));
  const imagesOff = store.imageSupport.off ?? images.problem();
  const cluster =
    ahead.cluster ??
    stack.use(
      await openCluster({ ...settings, events: false, originSlots: 0, prefetchResources: false }, warn),
    );
  const kube = settings.podPullSecrets && cluster ? openKubeApi(cluster) : undefined;
  const pods = kube === undefined ? undefined : openPodObjects(kube);
  const labels = openLabels(settings, cluster);
  const sources = stack.use(
    await openSources({ ...settings, transport }, log, { ...ahead, pods, labels }, store.salt, reference =>
      access.withdraw(reference).catch((thrown: unknown) => warn(toArtifactError(thrown).message)),
    ),
  );
  const { registry, keychain } = sources;
  const { maxLayerEntries: maxEntries, maxLayerSize: maxBytes, maxLayerRatio: maxRatio } = settings;
  const unpacker = stack.use(openUnpacker({ maxEntries, maxBytes, maxRatio }));
  const policies = await openPolicies(settings, kube, labels, warn);
  const { trust, accessPolicy } = policies;
  const volumes = deferRemovals(store.volumes, warn);
  const share = await openSharing(settings, store.names);
  const world = {
    ...store,
    names: share?.names ?? store.names,
    volumes,
    pods,
    signatures: createSignatureCheck({ trust, registry, signatures: store.signatures }),
    mounter,
    images,
    hasImages: imagesOff === undefined,
    holder,
    tryLandings,
    resumeLandings,
    registry,
    unpacker,
    meter,
    keychain,
    expander: sources.expander,
    endpoints: sources.endpoints,
    archive: { read: readArchive },
    kubelet: openKubeletPods(settings.kubeletDir),
    leases: createLeases(),
    viewTurns: createKeyedMutex(),
    platform: toPlatform(process.arch),
    viewsDirectory: join(settings.stateDir, 'views'),
    hash: hashBytes,
    note: (reference: string, text: string) => log.info({ reference }, text),
  };
  const access: AccessCheck =
    settings.cachedAuthorization === 'off'
      ? unrestrictedAccess
      : createAccessCheck(await openAccessCache(world.accesses, world.salt), registry);
  const closing = new AbortController();
  const retirement = createRetirement({ ...world, tell: createDamageReport(events) });
  const integrity: Integrity = createIntegrity(
    { ...world, mends, retirement, hash: hashFile, warn, later: item => scrub.later(item) },
    settings.scrubInterval,
    closing.signal,
  );
  const scrub = createScrub(
    { ...world, integrity, hashSlowly: stack.use(openSlowHash()).hash, seal: store.verity.seal, warn },
    settings.scrubInterval,
  );
  const collector = createCollector({ ...world, access });
  const reported = reportCollections(collector, (found, text) => log.info(found, text));
  const room = createDiskSpace({ ...world, collector: reported }, settings);
  const pulling = openPulling(
    {
      ...world,
      accessPolicy,
      access,
      integrity,
      room,
      warn,
      reportLie: createLieReport(events),
      reportFailedRead: createFailedReadReport(events),
      spread: await openSpread(settings),
    },
    settings,
    imagesOff,
    stack,
  );
  const { pull, manifests, naming, source, onDemand } = pulling;
  await onDemand.resume(); // before anything is unmounted
  if (mends) {
    const { notes, ...reconciled } = await reconcileVolumes(world);
    for (const note of [...notes, ...(await restoreViews(world))]) log.warn(note);
    await inheritHolds(world);
    log.info(reconciled, 'the records of volumes were compared with the mounts of this node');
  }
  const statusOf = createVolumeStatus({ ...world, accessPolicy, onDemand });
  const catalog = createCatalog({ ...world, manifests, source });
  const wanted = { ...world, list: policies.prefetch, labels, pull, naming, pressure: room.pressure, log };
  const prefetch = await openPrefetching(wanted, settings, ahead.cluster, warn);
  if (mends) await prefetch.follow();
  const configured = [sources, policies];
  const problems = (): readonly string[] => [...configured, prefetch].flatMap(part => part.problems());
  const tidy = (): void => images.tidy().forEach(text => warn(text));
  const upkeep = createUpkeep(
    mends
      ? {
          'looking for problems': problems, // it logs changes
          'removing the records of volumes that ended': volumes.settle,
          'unmounting images': tidy,
          'removing old downloads and damaged content': store.retire,
          'removing damaged views': retirement.tidy,
          'garbage collection': room.relieve,
        }
      : {},
    mends ? [scrub.run, onDemand.run, ...prefetch.work] : [],
    warn,
    closing.signal,
  );
  stack.defer(async () => {
    closing.abort();
    await pull.stop();
    await upkeep.ended();
  });
  const adapters = stack.move();
  // A command that only reads tries none of them.
  const facts = () =>
    reads
      ? []
      : [formatVerity(store.verity), formatSupport({ off: imagesOff }), formatOnDemand(onDemand.summary())];
  const failing = createFailingVolumes();
  // The marks of a command that only reads are not those of the daemon that collects.
  const pressure = async () => (reads === undefined ? await room.pressure() : undefined);
  const notes = async () =>
    [problems(), sources.notes(), (await pressure()) ?? [], holder?.problem() ?? []].flat();
  const status = async (): Promise<NodeStatus> => ({
    stateDir: settings.stateDir,
    disk: await world.disk.usage(),
    cacheBytes: await collector.cacheBytes(),
    problems: await notes(),
    facts: facts(),
    prefetch: prefetch.status(),
    failing: failing.list(),
  });
  return {
    artifacts: createArtifacts({
      ...world,
      ...pulling,
      access,
      catalog,
      collector,
      room,
      hashFile,
      integrity,
      retirement,
      status,
      statusOf,
    }),
    publishing: createPodPublishing({ ...world, pull, onDemand, statusOf, failing }, events),
    cacheBytes: collector.cacheBytes,
    diskUsage: world.disk.usage,
    problems,
    notes,
    facts,
    prefetch: prefetch.status,
    failing: failing.list,
    isSealed: store.verity.off === undefined,
    imagesOff,
    origins: sources.origins,
    onDemand: onDemand.summary,
    sharing: share?.open({ ...world, access }, closing.signal),
    startWork: upkeep.start,
    obstacles: () =>
      [mounter.problem() ?? [], store.problem() ?? [], ...configured.map(part => part.obstacles())].flat(),
    expired: store.expired,
    close: () => adapters.disposeAsync(),
  };
}
