import type { Digest } from '../../oci/digest.ts';
import type { Platform } from '../../oci/platform.ts';
import { formatReference, type Reference } from '../../oci/reference.ts';
import type { Kubelet } from '../../ports/kubelet.ts';
import type { Origin } from '../../ports/publishing.ts';
import type { Expander, Keychain } from '../../ports/registry.ts';
import type { PullPolicy, PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import type { Blobs, Layers, View, Views } from '../../ports/store.ts';
import type { Progress, Wanter } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { openTenants, type Tenants } from '../../util/fair-slots.ts';
import { startPace } from '../../util/pace.ts';
import { throughPauses } from '../../util/pause.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { SignatureCheck } from '../access/signature-check.ts';
import { type Leases, nameId } from '../cache/leases.ts';
import type { Admission } from './admission.ts';
import type { LateCall, LatePull } from './late-call.ts';
import type { ManifestLoader } from './manifest-loader.ts';
import { type Naming, toResolvedName } from './naming.ts';
import { verifyLayers } from './not-cached.ts';
import { createPendingPulls, type PendingPull } from './pending-pulls.ts';
import { createPlanMemory } from './plan-memory.ts';
import { createOriginTally, whilePaused, withRetries } from './progress.ts';
import { defaultPullPolicy } from './resolver.ts';
import { createFlights, type Flight, type FlightOptions } from './single-flight.ts';
import { about } from './subject.ts';
import type { ViewBuilder } from './view-builder.ts';
import { fitsImage, verifyProtected } from './view-form.ts';
import { type ViewPlan, viewKey } from './view-plan.ts';
import { isGone, tenantOf, toCaller } from './wanter.ts';

/** A view in the cache, leased until this is disposed. */
export type PulledView = Disposable & {
  readonly reference: Reference;
  /** What the reference resolved to. For an index, the digest of the index. */
  readonly resolution: Resolution;
  readonly view: View;
  readonly origin: Origin;
  /**
   * Every digest from the reference to the view. Whoever keeps the view writes them into a record before this is
   * disposed.
   */
  readonly holds: readonly Digest[];
};

type Obtained = Pick<PulledView, 'view' | 'origin'> & { readonly isLate: boolean };

type OnProgress = (progress: Progress) => void;

export type Pull = {
  /**
   * Pulls an artifact and builds its view. Callers of the same view share a flight, which continues without them for a
   * while if the pod of one still exists.
   */
  pull(request: PullRequest, onProgress: OnProgress, signal: AbortSignal): Promise<PulledView>;
  /** The pulls in progress; those whose manifest is not here by reference. */
  list(): readonly Flight<Progress, Wanter>[];
  /** Ends all flights; partial downloads stay. */
  stop(): Promise<void>;
};

/** kubelet retries within 2 min 2 s. */
const lingerMs = 5 * 60_000;
/** How often a pull checks that its pods still exist. */
const checkMs = 2_000;
/** How often a view may be collected between its build and its first lease. More often is a bug. */
const attempts = 3;

/** How long flights work for pods that do not call. */
export function flightOptions(kubelet: Kubelet): FlightOptions<Wanter> {
  return { lingerMs, checkMs, hasLeft: wanter => isGone(wanter, kubelet) };
}

/** @param durablePublish every pull waits until a power cut would take nothing of it, and not only that of a command. */
export function createPull(
  world: {
    readonly admit: Admission;
    readonly signatures: SignatureCheck;
    readonly manifests: ManifestLoader;
    readonly viewBuilder: ViewBuilder;
    readonly onDemand: LatePull;
    readonly keychain: Keychain;
    readonly expander: Expander;
    readonly blobs: Pick<Blobs, 'size'>;
    readonly layers: Pick<Layers, 'has'>;
    readonly naming: Naming;
    readonly views: Pick<Views, 'touch'>;
    readonly leases: Leases;
    readonly kubelet: Kubelet;
    readonly platform: Platform;
    /** Whether views can be images. */
    readonly hasImages: boolean;
  },
  durablePublish: boolean,
): Pull {
  const { admit, signatures, manifests, viewBuilder, onDemand, keychain, naming, views, leases } = world;
  const flights = createFlights<Origin, Progress, Wanter>(flightOptions(world.kubelet));
  const pending = createPendingPulls();

  const plans = createPlanMemory();

  const plan = async (
    request: PullRequest,
    content: AdmittedContent,
    stack: DisposableStack,
    signal: AbortSignal,
  ): Promise<ViewPlan> => {
    const { resolution } = content;
    const { selection } = request;
    const reference = formatReference(resolution.reference);
    const platform = request.platform ?? world.platform;
    const source = {
      content,
      tenants: openTenants(tenantOf(request)),
      hold: async (digest: Digest) => void stack.use(await leases.hold([digest])),
    };
    const selected = await manifests.select(resolution.descriptor, platform, reference, source, signal);
    const key = viewKey(selected.digest, selection);
    const viewPlan = await plans.plan({ reference, selected, selection, key }, signal);
    stack.use(await leases.hold(viewPlan.held));
    return viewPlan;
  };

  const build = async (
    { viewPlan, content, record, caller }: LateCall,
    { join, signal }: PendingPull,
  ): Promise<Obtained> => {
    const fly = (flight: AbortSignal, onProgress: OnProgress, tenants: Tenants): Promise<Origin> => {
      const tally = createOriginTally();
      const { report, tell } = withRetries(onProgress);
      // The flight works for all of its callers, and its registry has just answered.
      const shared = content.waitingBy({ hasty: false, tell });
      const context = { report, tally, tenants, record };
      return throughPauses(
        () => viewBuilder.prepare(viewPlan, shared, context, flight),
        pause => onProgress(whilePaused(pause)),
        flight,
      );
    };
    onDemand.release(viewPlan.key);
    const pace = startPace(signal);
    for (let attempt = 0; attempt < attempts; attempt++) {
      const origin = await join(flights.join(flightKey(viewPlan, content), fly, caller, signal));
      await pace();
      const view = await content.findView(viewPlan);
      if (view !== undefined) return { view, origin, isLate: false };
    }
    throw new ArtifactError(
      'internal',
      `the view of ${viewPlan.reference} left the cache as soon as it was built, ${attempts} times; free space on the disk, or end what removes content there (prune, rm), and try again`,
    );
  };

  /** Returns the view if it is here, or if it is opened on demand, until the stack is disposed. */
  const obtain = async (
    wanted: LateCall,
    call: PendingPull,
    stack: DisposableStack,
  ): Promise<Obtained | undefined> => {
    const { request, viewPlan, content, caller } = wanted;
    const isResumed = request.late !== undefined;
    const view = isResumed ? undefined : await viewBuilder.find(viewPlan, content, call.signal);
    if (view !== undefined) {
      const collected = flights.collect(flightKey(viewPlan, content), caller.id);
      const origin = collected ?? createOriginTally().origin(viewPlan.plan.layers);
      await views.touch(viewPlan.key);
      return { view, origin, isLate: false };
    }
    if (isResumed || (request.loading === 'onDemand' && request.pullPolicy !== 'Never')) {
      const late = await call.join(onDemand.open(wanted, call.signal));
      if (late !== undefined) {
        const { view, origin } = stack.use(late);
        return { view, origin, isLate: true };
      }
    }
    return undefined;
  };

  /** Each step passes its result to the next. All reads of cache and registry go through `content`. */
  const bring = async (request: PullRequest, call: PendingPull): Promise<PulledView> => {
    const { onProgress, signal } = call;
    const policy: PullPolicy = request.pullPolicy ?? defaultPullPolicy(request.reference);
    const { tell } = withRetries(onProgress);
    const waiting = { hasty: request.caller === 'administrator', tell };
    const candidates = world.expander.expand(request.reference);
    const keyring = { ...keychain.open({ ...request, candidates }), waiting };
    const content = await admit(request, policy, keyring, signal);
    const { resolution } = content;
    const { reference, descriptor } = resolution;
    using stack = new DisposableStack();
    stack.use(await leases.hold([nameId(formatReference(reference))]));
    await signatures.verify(reference, descriptor.digest, policy === 'Never' ? undefined : keyring, signal);

    const viewPlan = await plan(request, content, stack, signal);
    verifyProtected(request, world.hasImages && fitsImage(viewPlan.plan));
    // An administrator may know what is cached, and gets the error for a missing layer before a registry is asked for
    // access.
    if (policy === 'Never' && request.caller === 'administrator')
      await verifyLayers(world, viewPlan.plan, content.possession, signal);
    // Nothing is missing, so everything can be admitted before any of it is read.
    if (policy === 'Never' || content.scope === 'loaded') await content.admitAll(viewPlan.contents, signal);

    const pace = startPace(signal);
    const { digests } = viewPlan;
    const record = async (): Promise<void> => {
      // The digest that a volume had before a reboot is not what its tag resolves to now.
      if (request.pinned === undefined) await naming.record(toResolvedName(resolution), digests);
    };
    await pace();
    const caller = toCaller(request, resolution, onProgress);
    const wanted = { request, viewPlan, content, caller, record };
    const { view, origin, isLate } = (await obtain(wanted, call, stack)) ?? (await build(wanted, call));
    await pace();
    await record();
    if (!isLate && (durablePublish || request.caller === 'administrator'))
      await naming.settle(reference, digests, viewPlan.key, signal);
    await pace();
    const held = stack.move();
    return { reference, resolution, view, origin, holds: digests, [Symbol.dispose]: () => held.dispose() };
  };

  return {
    pull(request, onProgress, signal) {
      const call = pending.open(request, onProgress, signal);
      return throughPauses(
        () => bring(request, call),
        pause => call.onProgress(whilePaused(pause)),
        call.signal,
      )
        .catch((thrown: unknown) => {
          if (signal.aborted) throw thrown;
          call.signal.throwIfAborted(); // the reason of the end explains more than the error that it caused
          throw about(request.reference, thrown);
        })
        .finally(() => call[Symbol.dispose]());
    },
    list: () => [...flights.list(), ...onDemand.list(), ...pending.list()],
    async stop() {
      await Promise.all([flights.stop(), onDemand.stop()]);
    },
  };
}

function flightKey({ key }: ViewPlan, { id }: AdmittedContent): string {
  return `${key} ${id}`;
}
