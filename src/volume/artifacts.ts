import type { Digest } from '../oci/digest.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Platform } from '../oci/platform.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import type { Disk } from '../ports/disk.ts';
import type { Pods } from '../ports/kube.ts';
import type { LateViews } from '../ports/late-views.ts';
import type { Mounter } from '../ports/mounter.ts';
import type { Names, PinRecord, Pins, VolumeRecords } from '../ports/records.ts';
import type { Expander, Keychain } from '../ports/registry.ts';
import type { Pod } from '../ports/request.ts';
import type { Blobs, Layers, Look, View, Views } from '../ports/store.ts';
import type { Archive } from '../ports/unpacker.ts';
import type { Artifacts, PodName, VolumeStatus } from '../ports/usecases.ts';
import { never } from '../util/abortable.ts';
import { ArtifactError } from '../util/error.ts';
import { createSemaphore } from '../util/mutex.ts';
import { startPace } from '../util/pace.ts';
import type { AccessCheck } from './access/access-check.ts';
import type { SignatureCheck } from './access/signature-check.ts';
import type { Collector } from './cache/collector.ts';
import type { DiskSpace } from './cache/disk-space.ts';
import { checkCache } from './cache/fsck.ts';
import type { Integrity } from './cache/integrity.ts';
import { findKeepers } from './cache/keepers.ts';
import type { Leases } from './cache/leases.ts';
import { findPins } from './cache/pin-search.ts';
import type { Retirement } from './cache/retirement.ts';
import type { Catalog } from './catalog.ts';
import { loadLayout } from './load.ts';
import { formatEnding } from './manual-mount.ts';
import type { ManifestLoader } from './pull/manifest-loader.ts';
import type { Naming } from './pull/naming.ts';
import { withRetries } from './pull/progress.ts';
import type { Pull } from './pull/pull.ts';
import { createPullStatus } from './pull/pull-status.ts';
import type { Resolver } from './pull/resolver.ts';
import { about } from './pull/subject.ts';
import type { Trees } from './pull/trees.ts';
import type { VolumeStatusReader } from './volume-status.ts';

/** How long a list of volumes waits for the Kubernetes API, ms. */
const labelsMs = 2_000;

/** The use cases of `ociartifact.v1.Artifacts` and the command line. */
export function createArtifacts(world: {
  readonly pull: Pull;
  readonly access: AccessCheck;
  readonly signatures: SignatureCheck;
  readonly resolver: Resolver;
  readonly keychain: Keychain;
  /** Undefined while the Kubernetes API is off. */
  readonly pods: Pods | undefined;
  readonly expander: Expander;
  /** The endpoints of a reference, in the order of attempts. */
  readonly endpoints: (reference: Reference) => readonly Endpoint[];
  readonly catalog: Catalog;
  readonly collector: Collector;
  readonly archive: Archive;
  readonly room: Pick<DiskSpace, 'reserve' | 'pressure'>;
  readonly disk: Disk;
  readonly blobs: Blobs;
  readonly layers: Layers;
  readonly naming: Naming;
  readonly views: Views;
  readonly lateViews: Pick<LateViews, 'check'>;
  readonly volumes: VolumeRecords;
  readonly names: Pick<Names, 'list'>;
  readonly pins: Pins;
  readonly mounter: Mounter;
  readonly leases: Leases;
  readonly hash: (bytes: Uint8Array) => Digest;
  readonly hashFile: Look;
  readonly integrity: Integrity;
  readonly retirement: Retirement;
  readonly trees: Trees;
  readonly manifests: ManifestLoader;
  readonly platform: Platform;
  readonly status: Artifacts['status'];
  readonly statusOf: VolumeStatusReader;
  /** @throws ArtifactError `unavailable` with why nothing can be stored. */
  readonly verifyWritable: () => void;
}): Artifacts {
  const { pull, resolver, keychain, catalog, collector, naming, volumes, pins } = world;

  /** A name must not be removed between its lookup and its pin. */
  const pinning = createSemaphore(1);

  const findPod = async (name: PodName, signal: AbortSignal): Promise<Pod> => {
    if (world.pods !== undefined) return world.pods.find(name, signal);
    throw new ArtifactError(
      'denied',
      'the Kubernetes API, which knows the pod, is off; run the daemon with --pod-pull-secrets',
    );
  };

  /** What may happen to an artifact that nothing uses yet. */
  const formatPressure = async (reference: string): Promise<readonly string[]> => {
    const text = await world.room.pressure();
    return text === undefined ? [] : [`${text}; \`oci-artifact-csi pin ${reference}\` keeps this artifact`];
  };

  const artifacts: Artifacts = {
    async resolve(text, secrets, signal, onProgress = () => {}) {
      try {
        const wanted = { reference: text, caller: 'administrator' } as const;
        const waiting = { hasty: true, tell: withRetries(onProgress).tell };
        const candidates = world.expander.expand(text);
        const keyring = { ...keychain.open({ secrets, caller: 'administrator', candidates }), waiting };
        const resolution = await resolver.resolve(wanted, 'Always', keyring, signal);
        const { data: _, ...descriptor } = resolution.descriptor;
        const reference = formatReference(resolution.reference);
        return { reference, descriptor, cached: await catalog.has(descriptor, reference) };
      } catch (thrown) {
        throw about(text, thrown);
      }
    },
    async pull(request, onProgress, signal) {
      using pulled = await pull.pull(request, onProgress, signal);
      const { view, resolution } = pulled;
      return {
        reference: formatReference(pulled.reference),
        digest: resolution.descriptor.digest,
        manifest: view.manifest,
        view: view.key,
        path: view.path,
        bytes: view.bytes,
        inodes: view.inodes,
        notes: [...(view.notes ?? []), ...(await formatPressure(formatReference(pulled.reference)))],
      };
    },
    async explain(text, { secrets, pod: name }, signal) {
      const pod = name === undefined ? undefined : await findPod(name, signal);
      const candidates = world.expander.expand(text);
      const caller =
        pod === undefined
          ? { secrets, caller: 'administrator' as const, candidates }
          : { secrets, caller: 'pod' as const, pod, candidates };
      const endpoints = candidates.flatMap(reference => world.endpoints(reference));
      return Promise.all(
        endpoints.map(async endpoint => ({
          endpoint: `${endpoint.host}/${endpoint.path}`,
          sources: await keychain.explain(endpoint, caller, signal),
        })),
      );
    },
    ...createPullStatus(pull, world.expander),
    status: world.status,
    list: catalog.list,
    inspect: catalog.inspect,
    async remove(text) {
      using _ = await pinning.acquire(never);
      const { reference, descriptor, beside } = await catalog.locateOnly(text);
      const all = [reference, ...beside];
      // Other names of the same content keep it themselves.
      const user = (await volumes.listBrief()).find(record => all.includes(record.resolved));
      if (user !== undefined) {
        throw new ArtifactError(
          'denied',
          `${user.resolved} is published at ${user.targetPath}; ${formatEnding(user)} first`,
        );
      }
      const pin = (await pins.list()).find(one => all.includes(one.reference));
      if (pin !== undefined)
        throw new ArtifactError('denied', `${pin.reference} is pinned; ${formatUnpinning(pin)} first`);
      const held = new Set<Digest>();
      for (const name of all) for (const digest of (await naming.forget(name))?.holds ?? []) held.add(digest);
      const freed = await collector.release([...held], never);
      const keptBy = await findKeepers(world, [...held]);
      const { artifacts, bytes } = freed;
      return { artifacts, bytes, reference, digest: descriptor.digest, keptBy };
    },
    prune: signal => collector.collect(async () => false, signal),
    previewPrune: collector.preview,
    async pin(text) {
      using _ = await pinning.acquire(never);
      return naming.pin((await catalog.locateOnly(text)).reference);
    },
    async unpin(text) {
      // Searches the pins, because the name may resolve to another digest by now, or be gone.
      const all = await pins.list();
      const meant = await catalog.search(text, async whole => findPins(whole, all, world.expander));
      if (meant.length === 0)
        throw new ArtifactError('not-found', `${text} is not pinned; \`ls\` shows what is`);
      const listed = meant.find(({ by }) => by !== undefined);
      if (listed !== undefined)
        throw new ArtifactError('denied', `${listed.reference} is pinned; ${formatUnpinning(listed)}`);
      for (const { reference } of meant) await naming.unpin(reference);
    },
    async volumes() {
      const found: VolumeStatus[] = [];
      const pace = startPace(never);
      const signal = AbortSignal.timeout(labelsMs);
      const seen = new Map<string, View | undefined>();
      for (const record of await volumes.listBrief()) {
        found.push(await world.statusOf(record, signal, seen));
        await pace();
      }
      return found;
    },
    load: (tar, reference, signal) => loadLayout(world, tar, reference, signal),
    fsck: (repair, onFinding, signal, onProgress = () => {}) =>
      checkCache(world, repair, onFinding, onProgress, signal),
  };
  return guardWrites(artifacts, world.verifyWritable);
}

/** What ends a pin. */
function formatUnpinning({ by }: PinRecord): string {
  return by === undefined
    ? 'unpin it'
    : 'take it off the list of --prefetch or its ArtifactPrefetch, or set keep: false there';
}

/** Refuses operations that change the cache while it cannot be written. Others continue. */
function guardWrites(artifacts: Artifacts, verifyWritable: () => void): Artifacts {
  const guard =
    <Given extends readonly unknown[], Answer>(change: (...given: Given) => Promise<Answer>) =>
    async (...given: Given): Promise<Answer> => {
      verifyWritable();
      return change(...given);
    };
  const { pull, load, remove, prune, pin, unpin, fsck } = artifacts;
  const repair = guard(fsck);
  return {
    ...artifacts,
    pull: guard(pull),
    load: guard(load),
    remove: guard(remove),
    prune: guard(prune),
    pin: guard(pin),
    unpin: guard(unpin),
    fsck: (...given) => (given[0] ? repair(...given) : fsck(...given)),
  };
}
