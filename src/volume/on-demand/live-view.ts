import type { LateStatus } from '../../ports/on-demand.ts';
import type { Progress, Wanter } from '../../ports/usecases.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { openTenants } from '../../util/fair-slots.ts';
import { sleep } from '../../util/sleep.ts';
import type { AdmittedContent } from '../access/admitted-content.ts';
import type { LateCall, LateUse } from '../pull/late-call.ts';
import { createOriginTally } from '../pull/progress.ts';
import type { Flight } from '../pull/single-flight.ts';
import type { ByteSpan } from './byte-span.ts';
import { createLateFlight } from './late-flight.ts';
import type { Started } from './late-start.ts';
import { waitingOf } from './reads.ts';

/** A late view that is mounted and that this process loads. It goes on although its callers have left. */
export type LiveView = {
  /** Of the view, and of the content and the credential for which it is made. */
  readonly key: string;
  readonly id: string;
  /** The key of the view that all of its content makes. */
  readonly complete: string;
  /** Whether reads of missing bytes wait. They fail once it is stopped, also if it is still mounted. */
  hasReads(): boolean;
  /** Whether its work has ended, because no volume shows it. It may still be mounted. */
  isStopped(): boolean;
  /** Whether all of its content is here. The view for later volumes may still be built. */
  isComplete(): boolean;
  /** Why reads of missing bytes fail; undefined if none does. */
  problem(): string | undefined;
  /** Why content that was shown may be wrong. */
  lie(): string | undefined;
  /** From now on it is loaded on behalf of these tenants, too. */
  use(...tenants: readonly string[]): LateUse;
  /** Uses it, and releases it. */
  join(tenant: string): LateUse;
  /** Whether nobody uses it, and every use had ended at a time, as `performance.now()`. */
  isIdle(since: number): boolean;
  /** A read waits for bytes of a layer. */
  ask(layer: number, bytes: ByteSpan): void;
  /** When bytes came last, as `performance.now()`. */
  heardAt(): number;
  /** A read asked for bytes that are shown. */
  stale(): void;
  /** Uses it, and tries again at once what fails, with the credential of this content. */
  retry(content: AdmittedContent, tenant: string): LateUse;
  /** Loads again what no read waits for, after its flight was cancelled. */
  release(): void;
  status(): LateStatus;
  /**
   * As a pull in progress; undefined once it is complete, although the view for later volumes may still be built, once
   * it is stopped, and after it was cancelled: only what reads wait for comes then.
   */
  flight(): Flight<Progress, Wanter> | undefined;
  /** Ends the work, and fails reads of missing bytes. The mount stays. */
  stop(): Promise<void>;
  /** After that. */
  unmount(): Promise<void>;
};

const retryMs = 30_000;

export function openLiveView(
  world: Parameters<typeof createLateFlight>[0] & {
    readonly warn: (text: string) => void;
    /** Called when a chunk list was found to have lied. */
    readonly lied: () => void;
  },
  id: string,
  { viewPlan, content, caller, record }: LateCall,
  started: Started,
): LiveView {
  const { reference } = viewPlan;
  const { late, reads } = started;
  const since = Date.now();
  const ending = new AbortController();
  const tenants = openTenants(caller.tenant);
  const warn = (text: string, then = '; it is tried again'): void =>
    world.warn(`${reference}, which is loaded on demand: ${text}${then}`);
  const from = { content: waitingFor(content) };
  let told = '';
  const flight = createLateFlight(world, viewPlan, started, from, ({ label }, { message }) => {
    const text = `${label}: ${message}`;
    const isLie = flight.lie()?.message === message;
    if (text !== told) warn(text, isLie ? '' : undefined); // it is tried again for each read
    if (text !== told && isLie) world.lied();
    told = text;
  });
  let users = 0;
  let usedAt = performance.now();
  let latest: Progress | undefined;
  let failure: string | undefined;
  let isHeld = false;

  const run = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const report = (progress: Progress): void => void (latest = progress);
      try {
        await flight.fly({ report, tally: createOriginTally(), tenants, record }, ending.signal);
        failure = undefined;
        return;
      } catch (thrown) {
        if (ending.signal.aborted) return;
        const { message } = toArtifactError(thrown);
        failure = flight.isLoaded() ? undefined : message; // no read needs the view for later volumes
        warn(
          flight.isLoaded()
            ? `all of it is on the node, and the view for later volumes could not be built: ${message}`
            : message,
        );
        await sleep(retryMs, ending.signal);
      }
    }
  };
  const running = run();

  const problem = (): string | undefined => {
    const ofReads = flight.isIdle() ? [] : reads.map(each => each.problem());
    const failed = flight.problem() ?? ofReads.find(Boolean);
    return (
      flight.lie()?.message ??
      failure ??
      failed?.message ??
      (flight.isLoaded() ? undefined : started.failure())
    );
  };

  const use = (...names: readonly string[]): LateUse => {
    names.forEach(tenants.join);
    users++;
    const leave = new DisposableStack();
    leave.defer(() => {
      users--;
      usedAt = performance.now();
    });
    return { view: started.view, origin: started.origin, [Symbol.dispose]: () => leave.dispose() };
  };
  const release = (): void => {
    isHeld = false;
    flight.release();
  };
  const isStopped = (): boolean => ending.signal.aborted;

  return {
    key: late.key,
    id,
    complete: late.complete,
    hasReads: () => !isStopped() && started.failure() === undefined && !flight.hasLied(),
    isStopped,
    isComplete: flight.isLoaded,
    problem,
    lie: () => flight.lie()?.message,
    use,
    join(tenant) {
      release();
      return use(tenant);
    },
    isIdle: time => users === 0 && usedAt < time,
    ask: flight.ask,
    heardAt: flight.heardAt,
    stale: () => void late.reread().catch(() => {}), // the volume has just ended
    retry(other, tenant) {
      from.content = waitingFor(other);
      flight.retry();
      return use(tenant);
    },
    release,
    status() {
      const { bytes = 0, totalBytes = 0, bytesPerSecond = 0, waits } = latest ?? {};
      const isLoaded = flight.isLoaded();
      const why = problem() ?? (isLoaded || isHeld ? undefined : waits);
      return {
        bytes: isLoaded ? totalBytes : bytes,
        totalBytes,
        bytesPerSecond: isLoaded ? 0 : bytesPerSecond,
        waitingReads: waitingOf(reads),
        ...(why !== undefined && { problem: why }),
        ...(flight.lie() !== undefined && { lied: true }),
        ...(isHeld && !isLoaded && { stopped: true }),
      };
    },
    flight: () =>
      flight.isLoaded() || isHeld || isStopped()
        ? undefined
        : {
            since,
            latest,
            wanters: [caller.who],
            async cancel() {
              isHeld = true;
              flight.hold();
            },
          },
    async stop() {
      ending.abort(new ArtifactError('cancelled', 'no volume shows it any more'));
      started.end();
      await running;
    },
    unmount: started.unmount,
  };
}

/** It works for all callers, and its registry has just answered. */
function waitingFor(content: AdmittedContent): AdmittedContent {
  return content.waitingBy({ hasty: false, tell: () => {} });
}
