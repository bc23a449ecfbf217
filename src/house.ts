import { join } from 'node:path';
import { type Logger } from 'pino';
import type { Settings } from './cli/settings.ts';
import { openKubeApi } from './kube/api.ts';
import { openNamespaces } from './kube/namespaces.ts';
import { openPodObjects } from './kube/pod-objects.ts';
import { openKubeletPods } from './mount/kubelet-pods.ts';
import { openMounter } from './mount/mounter.ts';
import { verifyKernel } from './mount/kernel.ts';
import { toPlatform } from './oci/platform.ts';
import type { Reference } from './oci/reference.ts';
import { openRegistry } from './registry/client.ts';
import { openConfiguration } from './registry/configuration.ts';
import { type KeychainOptions, openKeychain } from './registry/keychain.ts';
import { parseProxies } from './registry/proxies.ts';
import { standardPlaces } from './registry/registries.ts';
import { isNamed, toRoute } from './registry/route.ts';
import { expand } from './registry/short-names.ts';
import type { Item } from './store/evidence.ts';
import { hashBytes, hashFile } from './store/file-hash.ts';
import { openSlowHash } from './store/slow-hash.ts';
import { openStore } from './store/store.ts';
import { openAccessFile } from './trust/access-file.ts';
import { openTrust } from './trust/trust.ts';
import { readArchive } from './unpack/archive.ts';
import { openUnpacker } from './unpack/unpacker.ts';
import { openAccessMemory } from './volume/access-memory.ts';
import { createArtifacts } from './volume/artifacts.ts';
import { createAuthority, openAuthority } from './volume/authority.ts';
import { createCatalog } from './volume/catalog.ts';
import { createCollector } from './volume/collector.ts';
import type { Meter } from './volume/contracts/meter.ts';
import type { DiskUsage } from './volume/contracts/store.ts';
import { createHolds } from './volume/holds.ts';
import { createIntegrity, type Integrity } from './volume/integrity.ts';
import { createLayerSource } from './volume/layer-source.ts';
import { createManifests } from './volume/manifests.ts';
import { createPreparation } from './volume/preparation.ts';
import { createPublishing } from './volume/publish.ts';
import { createPull } from './volume/pull.ts';
import { reconcileVolumes } from './volume/reconciliation.ts';
import { restoreViews } from './volume/restoration.ts';
import { createResolver } from './volume/resolution.ts';
import { createRetirement } from './volume/retirement.ts';
import { createRoom } from './volume/room.ts';
import { createScrub } from './volume/scrub.ts';
import { createSignatures } from './volume/signatures.ts';
import { createTrees } from './volume/trees.ts';
import type { Artifacts, Publishing } from './volume/usecases.ts';
import { toArtifactError } from './util/error.ts';

/** How often the disk is looked at between pulls. */
const tidyEveryMs = 60_000;

/** The use cases of one node over its own state dir. */
export type House = {
  readonly artifacts: Artifacts;
  readonly publishing: Publishing;
  cacheBytes(): Promise<number>;
  diskUsage(): Promise<DiskUsage>;
  /** Which files of the node's configuration are broken, a line each; what they said before is in force, or they refuse. */
  problems(): readonly string[];
  /** What is good to know of the node, a line each. */
  facts(): readonly string[];
  /** Whether the cache is sealed by fs-verity. */
  readonly isSealed: boolean;
  /** Verifies the cache in the background from now on, until this is closed. */
  startScrub(): void;
  /** Why no volume can be published now, a line each. */
  obstacles(): readonly string[];
  close(): Promise<void>;
};

/**
 * The use cases over a node's own state dir: opens every adapter, reconciles, and hands the use cases out. Closing
 * ends the pulls, which stay resumable; mounts stand.
 *
 * @throws ArtifactError `busy` while another process has the state dir's lock.
 */
export async function openHouse(settings: Settings, log: Logger, meter: Meter): Promise<House> {
  verifyKernel();
  await using stack = new AsyncDisposableStack();
  const store = stack.use(
    await openStore({ stateDir: settings.stateDir, selinuxLabel: settings.selinuxLabel, log }),
  );
  const mounter = stack.use(openMounter({ kubeletDir: settings.kubeletDir }));
  const warn = (text: string): void => log.warn(text);
  const configuration = openConfiguration(
    {
      file: settings.registriesConf,
      directory: settings.registriesConfDir,
      aliasesFile: standardPlaces.aliasesFile,
      hostsDir: settings.hostsDir,
      certsDir: settings.certsDir,
    },
    warn,
  );
  const registry = stack.use(
    openRegistry({
      route: (reference, question) => toRoute(configuration.current(), reference, question),
      isNamed: host => isNamed(configuration.current(), host),
      proxies: parseProxies(process.env),
      retryAfterMaxMs: settings.retryAfterMax,
      leastRate: { bytesPerSecond: settings.minDownloadRate, overMs: 60_000 },
      onRetry: retry => log.warn(retry, 'asking a registry again'),
      onRest: rest => log.warn(rest, 'a mirror is passed over'),
      ...(settings.caFile === undefined ? {} : { caFile: settings.caFile }),
    }),
  );
  const kube = settings.podPullSecrets ? await openKubeApi() : undefined;
  const pods = kube === undefined ? undefined : openPodObjects(kube);
  const keychain = stack.use(openKeychain({ ...toKeychainOptions(settings, warn), pods, salt: store.salt }));
  await keychain.verify(AbortSignal.timeout(5_000));
  const unpacker = stack.use(
    openUnpacker({
      maxEntries: settings.maxLayerEntries,
      maxBytes: settings.maxLayerSize,
      maxRatio: settings.maxLayerRatio,
    }),
  );
  const trust = await openTrust({
    ...(settings.policy === undefined ? {} : { policyFile: settings.policy }),
    ...(settings.bundleIdentity === undefined ? {} : { bundleIdentity: settings.bundleIdentity }),
    strict: settings.strictPolicy,
    note: warn,
  });
  const world = {
    ...store,
    pods,
    signatures: createSignatures({ trust, registry, signatures: store.signatures }),
    mounter,
    registry,
    unpacker,
    meter,
    keychain,
    expander: { expand: (text: string) => expand(configuration.current().registries, text) },
    places: (reference: Reference) => {
      const { mirrors, last } = toRoute(configuration.current(), reference, 'name');
      return [...mirrors, last];
    },
    archive: { read: readArchive },
    kubelet: openKubeletPods(settings.kubeletDir),
    holds: createHolds(),
    platform: toPlatform(process.arch),
    viewsFolder: join(settings.stateDir, 'views'),
    hash: hashBytes,
    note: (reference: string, text: string) => log.info({ reference }, text),
  };
  const { notes, ...reconciled } = await reconcileVolumes(world);
  for (const note of [...notes, ...(await restoreViews(world))]) log.warn(note);
  log.info(reconciled, 'volumes reconciled');

  const authority =
    settings.cachedAuthorization === 'off'
      ? openAuthority
      : createAuthority(await openAccessMemory(world.accesses, world.salt), registry);
  const closing = new AbortController();
  const { verity } = store;
  const slowHash = stack.use(openSlowHash());
  const retirement = createRetirement(world);
  const integrity: Integrity = createIntegrity(
    { ...world, retirement, hash: hashFile, warn, later: item => scrub.later(item) },
    settings.scrubInterval,
    closing.signal,
  );
  const seal = (item: Item, signal: AbortSignal): Promise<void> =>
    verity.seal(item, signal).catch((thrown: unknown) => {
      if (!signal.aborted) warn(`${item.digest} is not sealed: ${toArtifactError(thrown).message}`);
    });
  const scrub = createScrub(
    { ...world, integrity, hashSlowly: slowHash.hash, seal, warn },
    settings.scrubInterval,
  );
  const manifests = createManifests(world.blobs, integrity);
  const trees = createTrees(world.layers, settings.maxLayerEntries);
  const accessPolicy = await openAccessFile(settings.accessPolicy, {
    namespaces: kube === undefined ? undefined : openNamespaces(kube),
    note: warn,
  });
  const resolver = createResolver({ ...world, accessPolicy });
  const collector = createCollector({ ...world, authority });
  const room = createRoom({ ...world, collector }, settings);
  const source = createLayerSource(world, settings.maxParallelDownloads);
  const preparation = createPreparation({
    ...world,
    source,
    authority,
    room,
    trees,
    integrity,
  });
  const pull = createPull({ ...world, resolver, authority, manifests, preparation, integrity });
  const catalog = createCatalog({ ...world, manifests, source });

  const problems = (): readonly string[] =>
    [configuration, keychain, trust, accessPolicy].flatMap(part => part.problems());
  const tidy = async (): Promise<void> => {
    // What broke or was mended is known then, though nobody mounts or asks.
    await keychain.verify(closing.signal);
    problems();
    await store.retire();
    await retirement.tidy();
    await room.relieve(closing.signal);
  };
  const tidying = setInterval(() => {
    tidy().catch((thrown: unknown) => log.warn(`collection failed: ${toArtifactError(thrown).message}`));
  }, tidyEveryMs).unref();
  let scrubbing: Promise<void> | undefined;
  stack.defer(async () => {
    clearInterval(tidying);
    closing.abort();
    await pull.stop();
    await scrubbing;
  });
  const adapters = stack.move();
  return {
    artifacts: createArtifacts({
      ...world,
      pull,
      authority,
      resolver,
      catalog,
      collector,
      hashFile,
      integrity,
      retirement,
      trees,
      manifests,
    }),
    publishing: createPublishing({ ...world, pull }),
    cacheBytes: collector.cacheBytes,
    diskUsage: world.disk.usage,
    problems,
    facts: () => [
      `fs-verity: ${verity.off === undefined ? 'on' : `off (${verity.off}); the cache is verified without it`}`,
    ],
    isSealed: verity.off === undefined,
    startScrub() {
      scrubbing ??= scrub.run(closing.signal);
    },
    obstacles: () => [mounter.problem()].filter(problem => problem !== undefined),
    close: () => adapters.disposeAsync(),
  };
}

function toKeychainOptions(settings: Settings, note: (text: string) => void): Omit<KeychainOptions, 'pods'> {
  const { authFile, credentialProviderConfig: config, credentialProviderBinDir: folder } = settings;
  return {
    authFile,
    providers: config === undefined || folder === undefined ? undefined : { config, folder },
    note,
  };
}
