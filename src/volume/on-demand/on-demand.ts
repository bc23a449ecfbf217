import type { LateMounts } from '../../ports/landing.ts';
import type { LateViews } from '../../ports/late-views.ts';
import type { ImageMounts } from '../../ports/mounter.ts';
import type { LateStatus, LateSummary } from '../../ports/on-demand.ts';
import type { Brief, VolumeRecord, VolumeRecords } from '../../ports/records.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Views } from '../../ports/store.ts';
import type { Progress, Wanter } from '../../ports/usecases.ts';
import { never } from '../../util/abortable.ts';
import { doEach } from '../../util/each.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { createKeyedMutex } from '../../util/mutex.ts';
import { sleep } from '../../util/sleep.ts';
import type { Integrity } from '../cache/integrity.ts';
import type { ContentReport } from '../events/damage-report.ts';
import type { LateCall, LatePull, LateUse } from '../pull/late-call.ts';
import { createFlights, type FlightOptions } from '../pull/single-flight.ts';
import { tenantOf } from '../pull/wanter.ts';
import { createCrowds } from './crowd.ts';
import { createFailedReads } from './failed-reads.ts';
import type { createLateStart } from './late-start.ts';
import { createLieReporter } from './lies.ts';
import { type LiveView, openLiveView } from './live-view.ts';
import type { NodeLandings } from './node-landings.ts';
import { waitingOf } from './reads.ts';
import { createResumption } from './resumption.ts';
import { callerOf, createRevivals } from './revival.ts';
import { createViewReads } from './view-reads.ts';

/** The volumes that are mounted while their large layers still come. */
export type OnDemand = LatePull & {
  /** Takes over the reads that wait since an earlier process ended. To be called first. */
  resume(): Promise<void>;
  /** A volume ended: so does a late view that no other volume shows. */
  ended(key: string): Promise<void>;
  /** A volume was asked for again, perhaps with another credential: what fails of its late view is tried again. */
  again(record: Brief<VolumeRecord>, request: PullRequest): void;
  /** Continues the late views that volumes show, and ends those that none shows, now and from time to time. */
  run(signal: AbortSignal): Promise<void>;
  /** Undefined for a view that is no late one. */
  status(key: string): LateStatus | undefined;
  summary(): LateSummary;
};

/** The time in which kubelet publishes what it has asked for, and asks again. */
const graceMs = 150_000;
const tidyEveryMs = 30_000;

export function createOnDemand(
  given: Omit<Parameters<typeof openLiveView>[0], 'lied'> & {
    readonly starts: ReturnType<typeof createLateStart>;
    readonly lateViews: LateViews;
    readonly images: Pick<ImageMounts, 'tidy'> & Pick<LateMounts, 'keepMounted'>;
    readonly views: Pick<Views, 'find'>;
    readonly volumes: Pick<VolumeRecords, 'listBrief'>;
    readonly integrity: Pick<Integrity, 'retire'>;
    readonly reportLie: ContentReport;
    readonly reportFailedRead: ContentReport;
    readonly landings: NodeLandings;
    readonly holder?: { settle(): void; problem(): string | undefined } | undefined;
    /** Pulls for a volume of an earlier process, whose late view is then opened. */
    readonly pull: (request: PullRequest, signal: AbortSignal) => Promise<void>;
  },
  flightOptions: FlightOptions<Wanter>,
): OnDemand {
  const { starts, lateViews, volumes, warn, patienceMs } = given;
  const starting = createFlights<LiveView | undefined, Progress, Wanter>(flightOptions);
  /** By their keys. */
  const lives = new Map<string, LiveView>();
  const reportLies = createLieReporter(given, lives);
  const world = { ...given, lied: () => void reportLies().catch(() => {}) }; // tidy tries it again
  /** Of the keys: a late view is not continued while it is ended. */
  const turns = createKeyedMutex();
  const closing = new AbortController();
  const failedReads = createFailedReads(given);
  const openCrowd = createCrowds();
  const resumption = createResumption({ ...world, openCrowd }, failedReads.add);
  const waitingReads = (key: string): number => waitingOf(resumption.find(key)?.reads ?? []);
  // Its last volume may have ended meanwhile.
  const revivals = createRevivals({ ...world, waitingReads }, key => ended(key), closing.signal);

  const enliven = (live: LiveView): LiveView => {
    lives.set(live.key, live);
    revivals.forget(live.key);
    return live;
  };

  const end = async (live: LiveView): Promise<void> => {
    await live.stop(); // nobody joins it from now on; what fails is tried again by tidy
    await live.unmount();
    world.images.tidy();
    await lateViews.remove(live.key);
    lives.delete(live.key);
  };

  /** Ends one that no volume shows, unless somebody has used it since a time, as `performance.now()`. */
  const retire = async (key: string, since: number): Promise<void> => {
    revivals.forget(key);
    using _turn = await turns.lock(key, never);
    if (closing.signal.aborted) return; // the next daemon does it
    const live = lives.get(key);
    if (live === undefined) {
      await resumption.end(key);
      await lateViews.remove(key);
    } else if (live.isIdle(since)) await end(live);
  };

  const ended = async (key: string): Promise<void> => {
    if (!lives.has(key) && !(await lateViews.keys()).includes(key)) return;
    const since = performance.now(); // a volume that comes later may not be in the list
    if ((await volumes.listBrief()).some(({ view }) => view === key)) return;
    await retire(key, since);
  };

  /** The late view that a volume of an earlier process shows. */
  const proceed = async (key: string, id: string, call: LateCall): Promise<LateUse> => {
    using _turn = await turns.lock(key, never);
    const there = lives.get(key)?.retry(call.content, call.caller.tenant);
    if (there !== undefined) return there;
    const late = await lateViews.find(key);
    if (late === undefined)
      throw new ArtifactError(
        'not-found',
        `the volume that is loaded on demand is gone (view ${key}); delete its pod, and a new one gets a new volume`,
      );
    const resumed = resumption.find(key);
    const shown = (await volumes.listBrief()).filter(({ view }) => view === key);
    const started = await starts.continue(call.viewPlan, late, resumed);
    const live = enliven(openLiveView(world, id, call, started));
    resumption.hand(key);
    resumed?.loadBy(live);
    return live.use(...shown.map(record => tenantOf(callerOf(record))));
  };

  /** Not one with a damaged image: its volumes show it under another key. */
  const isInUse = async (key: string): Promise<boolean> => (await world.views.find(key)) !== undefined;

  const begin = async (id: string, call: LateCall, signal: AbortSignal): Promise<LateUse | undefined> => {
    const { request, viewPlan, content, caller } = call;
    const there = [...lives.values()].findLast(live => live.id === id && live.hasReads());
    const isSound = there !== undefined && (await isInUse(there.key));
    if (isSound && there.hasReads()) return there.join(caller.tenant);
    const landings = await world.landings.open();
    if (landings === undefined) return undefined;
    const live = await starting.join(
      id,
      async (flight, report, tenants) => {
        let own: LiveView | undefined; // before it is there, nobody can read it
        const reads = createViewReads(
          patienceMs,
          openCrowd(),
          (...failure) => own && failedReads.add(own.key, ...failure),
        );
        const options = { platform: request.platform, landings, openReads: reads.open };
        const started = await starts.start(viewPlan, content, { report, tenants }, options, flight);
        if (started === undefined) return undefined;
        own = enliven(openLiveView(world, id, call, started));
        reads.loadBy(own);
        return own;
      },
      caller,
      signal,
    );
    return live?.use(caller.tenant);
  };

  const tidy = async (): Promise<void> => {
    if (lives.size === 0 && (await lateViews.keys()).length === 0) return; // as on most nodes
    const records = new Map((await volumes.listBrief()).map(record => [record.view, record]));
    const oldest = performance.now() - graceMs;
    const goOn = async (key: string): Promise<void> => {
      const record = records.get(key);
      if (lives.has(key) || (record === undefined && starting.list().length > 0)) return;
      if (record === undefined) await retire(key, oldest);
      else void revivals.revive(record, {}); // its registry may not answer
    };
    // No landing tells that the kernel has an old map of one of these.
    for (const live of lives.values()) if (!live.hasReads() && !live.isStopped()) live.stale();
    const unshown = [...lives.keys()].filter(key => !records.has(key));
    const steps = [
      () => doEach(unshown, async key => retire(key, (await isInUse(key)) ? oldest : performance.now())),
      async () => doEach(await lateViews.keys(), goOn),
      reportLies,
    ];
    await doEach(steps, step => step());
  };

  return {
    open(call, signal) {
      const { request, viewPlan, content } = call;
      const id = `${viewPlan.key} ${content.id}`;
      return request.late === undefined ? begin(id, call, signal) : proceed(request.late, id, call);
    },
    async resume() {
      if (world.holder !== undefined) await resumption.run();
      world.holder?.settle();
    },
    ended,
    again(record, request) {
      const live = lives.get(record.view);
      const problem = live === undefined ? revivals.status(record.view)?.problem : live.problem();
      if (problem !== undefined) void revivals.revive(record, request);
    },
    release: key => lives.values().forEach(live => live.complete === key && live.release()),
    async run(signal) {
      while (!signal.aborted) {
        await tidy().catch((thrown: unknown) =>
          warn(`volumes that are loaded on demand: ${toArtifactError(thrown).message}`),
        );
        await sleep(tidyEveryMs, signal);
      }
    },
    status: key => lives.get(key)?.status() ?? revivals.status(key),
    summary() {
      const all = [...lives.values()].filter(live => !live.isStopped());
      const complete = all.filter(live => live.isComplete()).length;
      const failing = all.filter(live => live.problem() !== undefined).length;
      const statuses = all.map(live => live.status());
      const revived = revivals.list();
      return {
        loading: all.length - complete - failing,
        stalled: failing + revived.stalled.filter(key => !lives.has(key)).length,
        complete: complete + revived.complete.length,
        missingBytes: statuses.reduce((sum, { bytes, totalBytes }) => sum + totalBytes - bytes, 0),
        waitingReads: statuses.reduce((sum, each) => sum + each.waitingReads, resumption.waiting()),
        failedReads: failedReads.count(),
        support: world.landings.support(),
        ...(world.holder && { holder: { problem: world.holder.problem() } }),
      };
    },
    list: () => [...starting.list(), ...[...lives.values()].flatMap(live => live.flight() ?? [])],
    async stop() {
      world.landings.leave();
      closing.abort();
      await starting.stop();
      await Promise.all(lives.values().map(live => live.stop()));
    },
  };
}
