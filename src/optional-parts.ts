import type { Logger } from 'pino';
import type { Settings } from './cli/settings.ts';
import type { Note } from './configfile/watched-file.ts';
import type { KeychainOptions } from './credentials/keychain.ts';
import type { Cluster } from './kube/cluster.ts';
import type { NodeOriginGate } from './kube/origin-gate.ts';
import type { HolderLink } from './mount/holder-link.ts';
import type { PrefetchList } from './ports/prefetch.ts';
import type { Complete, NameRecord, Names } from './ports/records.ts';
import type { Sharing } from './ports/sharing.ts';
import type { PrefetchResources } from './prefetch/resources/prefetch-resources.ts';
import type { RegistryOptions } from './registry/client.ts';
import { toArtifactError } from './util/error.ts';
import { version } from './util/version.ts';
import type { TagSpread } from './volume/pull/tag-spread.ts';
import type { SharingPlan } from './volume/share/sharing.ts';

/** Parts that few daemons have. Each is loaded if its flag is set. */

/** The slots of --origin-slots; undefined without them. */
export async function openGate(
  { originSlots: slots, originPatience: patienceMs, nodeId }: Settings,
  cluster: Cluster | undefined,
  note: Note,
): Promise<NodeOriginGate | undefined> {
  if (slots === 0 || cluster === undefined) return undefined;
  const { openOriginGate } = await import('./kube/origin-gate.ts');
  const { openKubeObjects } = await import('./kube/objects.ts');
  const { namespace } = cluster;
  return openOriginGate(openKubeObjects(cluster), { namespace, nodeId, slots, patienceMs }, note);
}

/** The prefetches of --prefetch-resources; undefined without them. */
export async function openResources(
  { prefetchResources, prefetchLabels: labels, nodeId }: Settings,
  cluster: Cluster | undefined,
  list: PrefetchList,
  note: Note,
): Promise<PrefetchResources | undefined> {
  if (!prefetchResources || cluster === undefined) return undefined;
  const { openPrefetchResources } = await import('./prefetch/resources/prefetch-resources.ts');
  const { openKubeObjects } = await import('./kube/objects.ts');
  const { openLeases } = await import('./kube/leases.ts');
  const { openSlots } = await import('./kube/slots.ts');
  const { parseAttributes } = await import('./volume/attributes.ts');
  const objects = openKubeObjects(cluster);
  const node = { ...cluster, nodeId };
  return openPrefetchResources({
    objects,
    openLease: openLeases(objects, node),
    openSlots: (...slots) => openSlots(objects, node, slots),
    nodeId,
    labels,
    list,
    parseAttributes,
    note,
  });
}

/** What takes blobs from files of dfdaemon by --dragonfly-socket; undefined without it. */
export async function openDragonfly({
  dragonflySocket: socket,
  dragonflyDir: directory,
  dragonflyLink: isLinking,
}: Settings): Promise<(Disposable & Required<Pick<RegistryOptions, 'openHandover'>>) | undefined> {
  if (socket === undefined) return undefined;
  const { openDfdaemon } = await import('./grpc/dragonfly/dfdaemon.ts');
  const { openHandover } = await import('./registry/dragonfly/handover.ts');
  const dfdaemon = openDfdaemon(socket);
  return {
    openHandover: world => openHandover(dfdaemon, { directory, isLinking }, world),
    [Symbol.dispose]: () => dfdaemon[Symbol.dispose](),
  };
}

/** The YAML parser, which only their configuration needs, takes 20 ms to load. */
export async function openProviders({
  credentialProviderConfig: config,
  credentialProviderBinDir: directory,
}: Settings): Promise<KeychainOptions['providers']> {
  if (config === undefined || directory === undefined) return undefined;
  const providers = await import('./credentials/providers.ts');
  return means => providers.openProviders({ config, directory }, means);
}

/** The random wait of --always-jitter; undefined without it. */
export async function openSpread({ alwaysJitter }: Settings): Promise<TagSpread | undefined> {
  if (alwaysJitter === 0) return undefined;
  const { createTagSpread } = await import('./volume/pull/tag-spread.ts');
  return createTagSpread(alwaysJitter);
}

/** Few daemons have a holder. */
export async function openHolder(path: string | undefined, note: Note): Promise<HolderLink | undefined> {
  if (path === undefined) return undefined;
  const { openHolderLink } = await import('./mount/holder-link.ts');
  return openHolderLink(path, note);
}

/** What a node shares by --containerd-socket; undefined without it: such a daemon loads nothing of it. */
export async function openSharing<T extends Names & Complete<NameRecord>>(
  { containerdSocket, share }: Pick<Settings, 'containerdSocket' | 'share'>,
  names: T,
): Promise<SharingPlan<T> | undefined> {
  if (containerdSocket === undefined) return undefined;
  const { planSharing } = await import('./volume/share/sharing.ts');
  return planSharing(names, share);
}

/** The socket on which the node shares. Volumes do not need it: if it cannot be served, that is a problem of it alone. */
export async function serveSharing(
  path: string,
  sharing: Sharing,
  log: Logger,
): Promise<AsyncDisposable & { problem(): string | undefined }> {
  try {
    const { serveContainerd } = await import('./grpc/containerd-server.ts');
    const serving = await serveContainerd(path, sharing, version, log);
    log.info({ socket: path }, 'sharing the cache as containerd does');
    return serving;
  } catch (thrown) {
    const problem = `the cache is not shared: ${toArtifactError(thrown).message}`;
    log.error(problem);
    return { problem: () => problem, async [Symbol.asyncDispose]() {} };
  }
}
