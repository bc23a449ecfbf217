import type { Logger } from 'pino';
import type { Direct } from './cli/builder.ts';
import type { Settings } from './cli/settings.ts';
import { type Note, toNote, valueOf } from './configfile/watched-file.ts';
import { type NodeKeychain, openKeychain } from './credentials/keychain.ts';
import { type KubeApi, openKubeApi } from './kube/api.ts';
import type { Cluster } from './kube/cluster.ts';
import { openNamespaces } from './kube/namespaces.ts';
import { openNodeLabels } from './kube/node-labels.ts';
import type { PodObjects } from './kube/pod-objects.ts';
import type { Endpoint } from './oci/endpoint.ts';
import type { Reference } from './oci/reference.ts';
import { openDragonfly, openGate, openProviders } from './optional-parts.ts';
import type { AccessFile } from './policy/access/access-file.ts';
import type { PolicyTrust } from './policy/signature/policy.ts';
import type { Labels } from './ports/kube.ts';
import type { OriginCounts } from './ports/origin.ts';
import type { NodeLabels } from './ports/prefetch.ts';
import { openPrefetchFile, type PrefetchFile } from './prefetch/prefetch-file.ts';
import { openRegistry, type RegistryClient, type RegistryOptions } from './registry/client.ts';
import { type Configuration, openConfiguration } from './registry/config/configuration.ts';
import { openMirrorLabels } from './registry/config/mirror-labels.ts';
import { listSkipped } from './registry/config/placement.ts';
import { expand, standardFiles } from './registry/config/registries.ts';
import { isNamed, type Route, type RoutePurpose, toRoute } from './registry/config/route.ts';
import { askBy } from './registry/config/transport.ts';
import { parseProxies } from './registry/http/egress.ts';
import { createRates } from './registry/rates.ts';
import { formatRetry } from './util/retry.ts';
import { parseAttributes } from './volume/attributes.ts';

/** The sources of artifacts: registries, the node's configuration of them, and credentials. */
export type ArtifactSources = AsyncDisposable & {
  readonly registry: RegistryClient;
  readonly keychain: NodeKeychain;
  readonly expander: { expand(text: string): readonly Reference[] };
  /** The endpoints of a reference, in the order of attempts. */
  endpoints(reference: Reference): readonly Endpoint[];
  /** Configuration files that are broken, one line each. */
  problems(): readonly string[];
  /** The problems that cause refusals, because the files have never been valid. */
  obstacles(): readonly string[];
  /** Mirrors and hosts that are not asked now, one line each. */
  notes(): readonly string[];
  /** The registries from which this node takes blobs, or waits to; undefined without --origin-slots. */
  origins(): OriginCounts | undefined;
};

/** What the Kubernetes API gives. */
type KubeParts = {
  readonly pods?: PodObjects | undefined;
  readonly labels?: NodeLabels | undefined;
  /** Of a daemon, which may have --origin-slots. */
  readonly cluster?: Cluster | undefined;
};

export async function openSources(
  settings: Settings & Pick<Direct, 'transport'>,
  log: Logger,
  { pods, labels, cluster }: KubeParts,
  salt: string,
  onRefused?: RegistryOptions['onRefused'],
): Promise<ArtifactSources> {
  await using stack = new AsyncDisposableStack();
  const note = toNote(log);
  const configuration = openConfiguration(
    {
      file: settings.registriesConf,
      directory: settings.registriesConfDir,
      aliasesFile: standardFiles.aliasesFile,
      hostsDir: settings.hostsDir,
      certsDir: settings.certsDir,
      caFile: settings.caFile,
    },
    note,
  );
  const mirrorLabels = openMirrorLabels(labels);
  const toRouteOf = (
    current: Configuration,
    reference: Reference,
    question: RoutePurpose,
    labels?: Labels,
  ): Route => {
    const route = toRoute(current, reference, question, labels);
    return settings.transport === undefined ? route : askBy(settings.transport, route, reference);
  };
  const skipped = (): readonly string[] => {
    const [known, why] = [mirrorLabels.current(), mirrorLabels.problem()];
    if (known === undefined && why === undefined) return []; // nothing has needed them yet
    const lines = listSkipped(configuration.current(), known ?? {});
    return lines.map(line => (why === undefined ? line : `${line}; ${why}`));
  };
  const gate = stack.use(await openGate(settings, cluster, note));
  const dragonfly = stack.use(await openDragonfly(settings));
  const bucketOf = createRates(settings.downloadRate, settings.mirrorRate);
  const registry = stack.use(
    openRegistry({
      route: (reference, question, signal) => {
        const current = configuration.current();
        if (!current.isLabelled) return toRouteOf(current, reference, question);
        return mirrorLabels
          .settle(signal)
          .then(() => toRouteOf(current, reference, question, mirrorLabels.current()));
      },
      isNamed: host => isNamed(configuration.current(), host, mirrorLabels.current()),
      trust: () => valueOf(configuration.current().trust),
      proxies: parseProxies(process.env),
      retryAfterMaxMs: settings.retryAfterMax,
      leastRate: { bytesPerSecond: settings.minDownloadRate, overMs: 60_000 },
      ...(bucketOf === undefined ? {} : { bucketOf }),
      gate,
      openHandover: dragonfly?.openHandover,
      // The waiting caller gets the same text, and the end of the wait gets an error.
      onRetry: retry =>
        log.info({ subject: retry.subject, waitMs: Math.round(retry.waitMs) }, formatRetry(retry)),
      onRest: rest => log.warn(rest, 'mirror skipped for a while'),
      ...(onRefused === undefined ? {} : { onRefused }),
      onRequest: request => log.debug(request, 'registry request'),
    }),
  );
  const { authFile } = settings;
  const providers = await openProviders(settings);
  const keychain = stack.use(openKeychain({ authFile, providers, note, pods, salt }));
  const held = stack.move();
  return {
    registry,
    keychain,
    expander: { expand: text => expand(configuration.current().registries, text) },
    endpoints(reference) {
      const { mirrors, last } = toRoute(configuration.current(), reference, 'name', mirrorLabels.current());
      return [...mirrors, last];
    },
    problems: () => [...configuration.problems(), ...keychain.problems()],
    obstacles: () => [...configuration.obstacles(), ...keychain.obstacles()],
    origins: () => gate?.counts(),
    notes: () => [...skipped(), ...registry.pauses(), ...(gate?.notes() ?? [])],
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** The labels of this node; undefined if nothing gives them. */
export function openLabels(
  { nodeLabels, nodeId, podPullSecrets }: Settings,
  cluster: Cluster | undefined,
): NodeLabels | undefined {
  if (nodeLabels !== undefined && nodeLabels !== 'api') return async () => nodeLabels;
  const isAsked = podPullSecrets || nodeLabels === 'api';
  return isAsked && cluster ? openNodeLabels(openKubeApi(cluster), nodeId) : undefined;
}

/** Opens the configuration of a standby. Its files are read, and nothing is asked or run. */
export async function openRehearsal(
  settings: Settings,
  log: Logger,
  cluster: Cluster | undefined,
): Promise<AsyncDisposable & { obstacles(): readonly string[] }> {
  const note = toNote(log);
  const kube = settings.podPullSecrets && cluster ? openKubeApi(cluster) : undefined;
  const policies = await openPolicies(settings, kube, openLabels(settings, cluster), note);
  const sources = await openSources(settings, log, {}, '');
  return {
    obstacles: () => [sources, policies].flatMap(part => part.obstacles()),
    [Symbol.asyncDispose]: () => sources[Symbol.asyncDispose](),
  };
}

/** What the administrator decides in files: who may mount what, what must be signed, and what is there beforehand. */
export type Policies = {
  readonly accessPolicy: AccessFile;
  readonly trust: PolicyTrust;
  readonly prefetch: PrefetchFile;
  /** Files that are broken, one line each. */
  problems(): readonly string[];
  /** Those that cause refusals. */
  obstacles(): readonly string[];
};

type PolicySettings = Pick<
  Settings,
  'accessPolicy' | 'policy' | 'strictPolicy' | 'bundleIdentity' | 'prefetch'
>;

/**
 * Opens the files. Each is read again when it changes.
 *
 * @param kube, labels undefined while the Kubernetes API is off.
 */
export async function openPolicies(
  settings: PolicySettings,
  kube: KubeApi | undefined,
  labels: NodeLabels | undefined,
  note: Note,
): Promise<Policies> {
  const trust = await openTrust(settings, note);
  const accessPolicy = await openAccess(settings, kube, note);
  const prefetch = await openPrefetchFile(settings.prefetch, {
    parseAttributes,
    hasLabels: labels !== undefined,
    note,
  });
  return {
    accessPolicy,
    trust,
    prefetch,
    problems: () => [trust, accessPolicy, prefetch].flatMap(part => part.problems()),
    obstacles: () => [trust, accessPolicy].flatMap(part => part.obstacles()),
  };
}

/** sigstore's libraries are slow to load. */
async function openTrust(settings: PolicySettings, note: Note): Promise<PolicyTrust> {
  const { policy, strictPolicy: strict } = settings;
  if (policy === undefined) {
    const accepted = { kind: 'accepted', by: 'no policy file is configured' } as const;
    return { verify: async () => accepted, problems: () => [], obstacles: () => [] };
  }
  const { openSignaturePolicy } = await import('./policy/signature/policy.ts');
  return openSignaturePolicy(policy, { digestIsEnough: settings.bundleIdentity === 'digest', strict, note });
}

/** Without a policy, every pod may mount everything. The YAML parser takes 40 ms to load. */
async function openAccess(
  { accessPolicy }: PolicySettings,
  kube: KubeApi | undefined,
  note: Note,
): Promise<AccessFile> {
  if (accessPolicy === undefined)
    return { verify: async () => undefined, problems: () => [], obstacles: () => [] };
  const { openAccessFile } = await import('./policy/access/access-file.ts');
  return openAccessFile(accessPolicy, { namespaces: kube && openNamespaces(kube), note });
}
