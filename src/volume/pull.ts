import { randomUUID } from 'node:crypto';
import type { Waiting } from '../oci/credential.ts';
import type { Digest } from '../oci/digest.ts';
import { planLayers } from '../oci/plan.ts';
import type { Platform } from '../oci/platform.ts';
import { formatReference, formatRepository, type Reference } from '../oci/reference.ts';
import { ArtifactError } from '../util/error.ts';
import { throughPauses } from '../util/pause.ts';
import { openTenants } from '../util/tenants.ts';
import { toAbsence, toLack } from './absence.ts';
import { boundToWord, createAdmission } from './admission.ts';
import type { Authority } from './authority.ts';
import type { Kubelet } from './contracts/kubelet.ts';
import type { Content, Keychain, Registry } from './contracts/registry.ts';
import type { Blobs, Layers, View, Views } from './contracts/store.ts';
import { createFetch } from './document-fetch.ts';
import { type Caller, createFlights, type Flight } from './flight.ts';
import { type Blueprint, contentsOf, digestsOf, heldBy, itemsOf, viewKey } from './blueprint.ts';
import type { Passage, Preparation } from './preparation.ts';
import { type Holds, nameId } from './holds.ts';
import type { Integrity } from './integrity.ts';
import type { Origin } from './layer-source.ts';
import type { Documents, Manifests } from './manifests.ts';
import type { Answer, Naming } from './naming.ts';
import { whilePaused } from './progress.ts';
import { withRetries } from './retry-report.ts';
import { type PullPolicy, type PullRequest, tenantOf } from './request.ts';
import { defaultPullPolicy, type Resolution, type Resolver } from './resolution.ts';
import type { Signatures } from './signatures.ts';
import { about } from './subject.ts';
import type { Progress } from './usecases.ts';
import { isGone, type Wanter, wanterOf } from './wanter.ts';

/** A view that is here, and stays as long as this is not disposed. */
export type Arrival = Disposable & {
  readonly reference: Reference;
  /** What the reference resolved to; an index's own digest. */
  readonly resolution: Resolution;
  readonly view: View;
  /** Every digest on the way to it. Whoever keeps the view writes them into a record before this is disposed. */
  readonly holds: readonly Digest[];
};

export type Pull = {
  /**
   * Brings an artifact into the cache and its view with it. Callers who want the same share one flight, which goes on
   * without them for a while if a pod wants it that is still there.
   */
  pull(request: PullRequest, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<Arrival>;
  /** What is being brought now. */
  list(): readonly Flight<Progress, Wanter>[];
  /** Ends all flights; partial downloads stay. */
  stop(): Promise<void>;
};

/** kubelet comes back within 2 min 2 s. */
const lingerMs = 5 * 60_000;
/** How soon after its pods a pull ends. */
const checkMs = 2_000;
/** How often a view may be collected between its building and its first hold before that is a bug. */
const attempts = 3;

export function createPull(world: {
  readonly resolver: Resolver;
  readonly authority: Authority;
  readonly signatures: Signatures;
  readonly manifests: Manifests;
  readonly preparation: Preparation;
  readonly integrity: Pick<Integrity, 'isIntact'>;
  readonly keychain: Keychain;
  readonly registry: Registry;
  readonly blobs: Blobs;
  readonly layers: Layers;
  readonly naming: Naming;
  readonly views: Views;
  readonly holds: Holds;
  readonly kubelet: Kubelet;
  readonly platform: Platform;
}): Pull {
  const { resolver, authority, signatures, manifests, preparation, keychain, registry } = world;
  const { blobs, layers, naming, views, holds, integrity } = world;
  const admit = createAdmission(resolver, authority);
  const flights = createFlights<View, Progress, Wanter>({
    lingerMs,
    checkMs,
    isGone: wanter => isGone(wanter, world.kubelet),
  });

  const draw = async (
    request: PullRequest,
    resolution: Resolution,
    { fetch, confirm }: Pick<Documents, 'fetch' | 'confirm'>,
    stack: DisposableStack,
    signal: AbortSignal,
  ): Promise<Blueprint> => {
    const reference = formatReference(resolution.reference);
    const platform = request.platform ?? world.platform;
    const source: Documents = {
      place: resolution.reference.registry,
      tenants: openTenants(tenantOf(request)),
      fetch,
      confirm,
      hold: async digest => void stack.use(await holds.hold([digest])),
      learn: (digest, giver) => authority.learn(resolution.reference, [{ digest, giver }]),
    };
    const selected = await manifests.select(resolution.descriptor, platform, reference, source, signal);
    const plan = planLayers(selected.manifest, selected.diffIds, request.selection, reference);
    const key = viewKey(selected.digest, request.selection);
    return { reference, selected, plan, selection: request.selection, key };
  };

  const build = async (
    blueprint: Blueprint,
    origin: Origin,
    finish: (signal: AbortSignal) => Promise<void>,
    caller: Caller<Progress, Wanter>,
    signal: AbortSignal,
  ): Promise<View> => {
    const fly = async (flight: AbortSignal, { report: onProgress, tenants }: Passage): Promise<View> => {
      using _held = await holds.hold(heldBy(blueprint));
      const { report, tell } = withRetries(onProgress);
      // It is for all who want it, and its registry has just answered.
      const shared = waitingBy(origin, { hasty: false, tell });
      const view = await preparation.prepare(blueprint, shared, { report, tenants }, flight);
      await finish(flight); // its callers may have left
      return view;
    };
    for (let attempt = 0; attempt < attempts; attempt++) {
      await flights.join(
        `${blueprint.key} ${originKey(origin)}`,
        (flight, report, tenants) =>
          throughPauses(
            () => fly(flight, { report, tenants }),
            pause => report(whilePaused(pause)),
            flight,
          ),
        caller,
        signal,
      );
      const view = await views.find(blueprint.key);
      if (view !== undefined) return view;
    }
    throw new ArtifactError(
      'internal',
      `the view of ${blueprint.reference} left the cache as soon as it was built, ${attempts} times`,
    );
  };

  /** An administrator may know what is here, and hears of what is not before a registry is asked who may have it. */
  const verifyHeld = async ({ plan }: Blueprint): Promise<void> => {
    for (const { descriptor, form, label } of plan.layers) {
      if (descriptor.data !== undefined) continue;
      const isBlob = (await blobs.size(descriptor.digest)) !== undefined;
      if (!isBlob && !(form !== 'file' && (await layers.has(descriptor.digest)))) throw toLack(label);
    }
  };

  const bring: Pull['pull'] = async (request, onProgress, signal) => {
    const policy: PullPolicy = request.pullPolicy ?? defaultPullPolicy(request.reference);
    const { tell } = withRetries(onProgress);
    const waiting = { hasty: request.caller === 'administrator', tell };
    const keyring = { ...keychain.open(request), waiting };
    const resolution = await admit(request, policy, keyring, signal);
    const { reference } = resolution;
    using stack = new DisposableStack();
    stack.use(await holds.hold([nameId(formatReference(reference))]));
    const asking = policy === 'Never' ? undefined : keyring;
    await signatures.verify(reference, resolution.descriptor.digest, asking, signal);
    const origin: Origin =
      policy === 'Never' ? { kind: 'offline' } : { kind: 'registry', repository: reference, keyring };

    // What such a pod may not have is for it as what is not here.
    const isClosed = policy === 'Never' && request.caller === 'pod';
    const confirm = async (contents: readonly Content[], until: AbortSignal): Promise<void> => {
      const asked = contents.filter(({ descriptor }) => request.brought?.has(descriptor.digest) !== true);
      try {
        await authority.confirm(reference, asked, keyring, isClosed ? boundToWord(until) : until);
      } catch (thrown) {
        until.throwIfAborted();
        throw isClosed ? toAbsence(request.reference) : thrown;
      }
    };
    const source = {
      fetch: createFetch(registry, origin, request),
      confirm: (content: Content, until: AbortSignal) => confirm([content], until),
    };
    const blueprint = await draw(request, resolution, source, stack, signal);
    stack.use(await holds.hold(heldBy(blueprint)));
    const contents = contentsOf(blueprint);
    if (origin.kind === 'offline' && request.caller === 'administrator') await verifyHeld(blueprint);
    // Nothing is to come, so that all can be asked about before any of it is read.
    if (origin.kind === 'offline') await confirm(contents, signal);
    const digests = digestsOf(blueprint);
    const finish = async (until: AbortSignal): Promise<void> => {
      await confirm(contents, until);
      // What a volume had before a reboot says nothing of what its tag names now.
      if (request.pinned === undefined) await naming.record(toAnswer(resolution), digests);
    };
    let view = await views.find(blueprint.key);
    if (view === undefined || !(await integrity.isIntact(view, itemsOf(blueprint, view), signal)))
      view = await build(blueprint, origin, finish, toCaller(request, resolution, onProgress), signal);
    else await views.touch(blueprint.key);
    await finish(signal);
    const held = stack.move();
    return { reference, resolution, view, holds: digests, [Symbol.dispose]: () => held.dispose() };
  };

  return {
    async pull(request, onProgress, signal) {
      try {
        return await throughPauses(
          () => bring(request, onProgress, signal),
          pause => onProgress(whilePaused(pause)),
          signal,
        );
      } catch (thrown) {
        throw signal.aborted ? thrown : about(request.reference, thrown);
      }
    },
    list: flights.list,
    stop: flights.stop,
  };
}

/** Flights are shared only by callers who would show the same registry the same credentials. */
function originKey(origin: Origin): string {
  if (origin.kind === 'offline') return 'offline';
  return `${formatRepository(origin.repository)} ${origin.keyring.id}`;
}

function waitingBy(origin: Origin, waiting: Waiting): Origin {
  return origin.kind === 'offline' ? origin : { ...origin, keyring: { ...origin.keyring, waiting } };
}

/** A pod is the same at each call of kubelet; a command is another each time. */
function toCaller(
  request: PullRequest,
  resolution: Resolution,
  onProgress: (progress: Progress) => void,
): Caller<Progress, Wanter> {
  const who = wanterOf(request, resolution);
  const id = who.kind === 'pod' && who.targetPath !== undefined ? who.targetPath : randomUUID();
  return { id, who, tenant: tenantOf(request), onReport: onProgress };
}

function toAnswer({ reference, descriptor, credential }: Resolution): Answer {
  if (credential === undefined) return { reference, descriptor };
  return { reference, descriptor, authorised: credential.kind === 'anonymous' ? 'anonymous' : 'credential' };
}
