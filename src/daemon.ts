import { createHash } from 'node:crypto';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { destination, type Logger, pino } from 'pino';
import type { Settings } from './cli/settings.ts';
import { serveRegistration } from './csi/registration.ts';
import { serveCsi } from './csi/server.ts';
import { createMetrics } from './http/metrics.ts';
import { serveHttp } from './http/server.ts';
import { openKubeApi } from './kube/api.ts';
import { openPodObjects } from './kube/pod-objects.ts';
import { openMounter } from './mount/mounter.ts';
import { verifyKernel } from './mount/kernel.ts';
import { type Digest, toDigest } from './oci/digest.ts';
import { toPlatform } from './oci/platform.ts';
import type { Reference } from './oci/reference.ts';
import { openRegistry } from './registry/client.ts';
import { openConfiguration } from './registry/configuration.ts';
import { type KeychainOptions, openKeychain } from './registry/keychain.ts';
import { parseProxies } from './registry/proxies.ts';
import { standardPlaces } from './registry/registries.ts';
import { toRoute } from './registry/route.ts';
import { expand } from './registry/short-names.ts';
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
import type { DiskUsage, Meter } from './volume/contracts.ts';
import { createHolds } from './volume/holds.ts';
import { createLayerSource } from './volume/layer-source.ts';
import { createManifests } from './volume/manifests.ts';
import { createPreparation } from './volume/preparation.ts';
import { createPublishing } from './volume/publish.ts';
import { createPull } from './volume/pull.ts';
import { reconcileVolumes } from './volume/reconciliation.ts';
import { createResolver } from './volume/resolution.ts';
import { createRoom } from './volume/room.ts';
import { createSignatures } from './volume/signatures.ts';
import type { Artifacts, Publishing } from './volume/usecases.ts';
import { type ArtifactError, toArtifactError } from './util/error.ts';
import { version } from './util/version.ts';

/** How often the disk is looked at between pulls. */
const tidyEveryMs = 60_000;
/** kubelet and systemd give a process that stops this long; what is not done then is left to the next start. */
const stopWithinMs = 9_500;

/** The use cases of one node over its own state dir. */
export type House = {
  readonly artifacts: Artifacts;
  readonly publishing: Publishing;
  cacheBytes(): Promise<number>;
  diskUsage(): Promise<DiskUsage>;
  close(): Promise<void>;
};

/**
 * Runs the daemon until SIGTERM or SIGINT, and answers the exit code: 0, or 1 where kubelet refused the driver. Stopping
 * ends what is short, leaves pulls resumable and mounts standing, and removes the sockets.
 *
 * @throws ArtifactError when it cannot start.
 */
export async function serve(settings: Settings): Promise<number> {
  const log = await createLog(settings);
  const ended = Promise.withResolvers<ArtifactError | undefined>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.resolve(undefined));
  const missing = new Set(['the cache is being opened']);

  await using stack = new AsyncDisposableStack();
  let house: House | undefined;
  const metrics = createMetrics(settings.driverName, {
    cacheBytes: async () => house?.cacheBytes() ?? 0,
    disk: async () => house?.diskUsage() ?? noDisk,
    volumes: async () => house?.artifacts.volumes() ?? [],
  });
  if (settings.httpListen !== undefined) {
    const http = stack.use(await serveHttp(settings.httpListen, { ready: () => [...missing], metrics }));
    log.info({ port: http.port }, 'serving /healthz, /readyz and /metrics');
  }
  house = await openHouse(settings, log, metrics);
  stack.defer(house.close);
  const edge = { log, observe: metrics.operation, driverName: settings.driverName };
  stack.use(
    await serveCsi({
      ...house,
      ...edge,
      endpoint: settings.endpoint,
      nodeId: settings.nodeId,
      version,
      ready: () => missing.size === 0,
    }),
  );
  missing.clear();
  if (settings.register) {
    const options = {
      ...edge,
      kubeletDir: settings.kubeletDir,
      endpoint: hostEndpoint(settings),
      onRefused: ended.resolve,
    };
    stack.use(await serveRegistration(options));
  }

  const failure = await ended.promise;
  missing.add('the daemon is stopping');
  log.info('stopping');
  if (failure !== undefined) log.error(failure.message);
  const late = setTimeout(() => {
    log.warn('not all work ended in time; the next start goes on from here');
    process.exit(failure === undefined ? 0 : 1);
  }, stopWithinMs);
  await stack.disposeAsync();
  clearTimeout(late);
  log.info('stopped');
  return failure === undefined ? 0 : 1;
}

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
  const configuration = openConfiguration(
    {
      file: settings.registriesConf,
      directory: settings.registriesConfDir,
      aliasesFile: standardPlaces.aliasesFile,
      hostsDir: settings.hostsDir,
      certsDir: settings.certsDir,
    },
    note => log.warn(note),
  );
  const registry = stack.use(
    openRegistry({
      route: (reference, question) => toRoute(configuration.current(), reference, question),
      proxies: parseProxies(process.env),
      onRetry: retry => log.warn(retry, 'asking a registry again'),
      onRest: rest => log.warn(rest, 'a mirror is passed over'),
      ...(settings.caFile === undefined ? {} : { caFile: settings.caFile }),
    }),
  );
  const keychain = stack.use(
    openKeychain({ ...(await toKeychainOptions(settings, note => log.warn(note))), salt: store.salt }),
  );
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
  });
  for (const problem of trust.problems()) log.error(problem);
  const world = {
    ...store,
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
    kubelet: { hasPod: (uid: string) => exists(join(settings.kubeletDir, 'pods', uid)) },
    holds: createHolds(),
    platform: toPlatform(process.arch),
    viewsFolder: join(settings.stateDir, 'views'),
    hash: sha256,
    note: (reference: string, text: string) => log.info({ reference }, text),
  };
  const { notes, ...reconciled } = await reconcileVolumes(world);
  for (const note of notes) log.warn(note);
  log.info(reconciled, 'volumes reconciled');

  const authority =
    settings.cachedAuthorization === 'off'
      ? openAuthority
      : createAuthority(await openAccessMemory(world.accesses, world.salt), registry);
  const manifests = createManifests(world.blobs);
  const accessPolicy = await openAccessFile(settings.accessPolicy);
  for (const problem of accessPolicy.problems()) log.error(problem);
  const resolver = createResolver({ ...world, accessPolicy });
  const collector = createCollector(world);
  const room = createRoom({ ...world, collector }, toLimits(settings));
  const source = createLayerSource(world, settings.maxParallelDownloads);
  const preparation = createPreparation({ ...world, source, authority, room });
  const pull = createPull({ ...world, resolver, authority, manifests, preparation });
  const catalog = createCatalog({ ...world, manifests, source });

  const closing = new AbortController();
  const tidy = async (): Promise<void> => {
    await store.retire();
    await room.relieve(closing.signal);
  };
  const tidying = setInterval(() => {
    tidy().catch((thrown: unknown) => log.warn(`collection failed: ${toArtifactError(thrown).message}`));
  }, tidyEveryMs).unref();
  stack.defer(async () => {
    clearInterval(tidying);
    closing.abort();
    await pull.stop();
  });
  const adapters = stack.move();
  return {
    artifacts: createArtifacts({ ...world, pull, authority, resolver, catalog, collector }),
    publishing: createPublishing({ ...world, pull }),
    cacheBytes: collector.cacheBytes,
    diskUsage: world.disk.usage,
    close: () => adapters.disposeAsync(),
  };
}

const noDisk: DiskUsage = { totalBytes: 0, usedBytes: 0, availableBytes: 0, totalInodes: 0, usedInodes: 0 };

async function createLog(settings: Settings): Promise<Logger> {
  const { logLevel: level, logFormat } = settings;
  const to =
    logFormat === 'text'
      ? (await import('pino-pretty')).default({ colorize: false, sync: true })
      : destination({ fd: 1, sync: true });
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, to);
}

/** Where the host sees the socket, which a container may have elsewhere: kubelet keeps one folder for each driver. */
function hostEndpoint({ endpoint, kubeletDir, driverName }: Settings): string {
  return endpoint.startsWith(`${kubeletDir}/`)
    ? endpoint
    : join(kubeletDir, 'plugins', driverName, 'csi.sock');
}

async function toKeychainOptions(settings: Settings, note: (text: string) => void): Promise<KeychainOptions> {
  const { authFile, credentialProviderConfig: config, credentialProviderBinDir: folder } = settings;
  return {
    authFile,
    providers: config === undefined || folder === undefined ? undefined : { config, folder },
    pods: settings.podPullSecrets ? openPodObjects(await openKubeApi()) : undefined,
    note,
  };
}

function toLimits(settings: Settings) {
  const { cacheHigh, cacheLow, cacheMax, maxArtifactSize } = settings;
  return {
    cacheHigh,
    cacheLow,
    ...(cacheMax === undefined ? {} : { cacheMax }),
    ...(maxArtifactSize === undefined ? {} : { maxArtifactSize }),
  };
}

function sha256(bytes: Uint8Array): Digest {
  return toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
