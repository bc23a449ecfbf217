import { abortable } from '../../util/abortable.ts';
import { ArtifactError } from '../../util/error.ts';
import { openTenants, type Tenants } from '../../util/fair-slots.ts';
import { createRecall } from '../../util/memo.ts';

/**
 * Work that callers share: a caller for a key in progress joins it. The work has its own AbortController, so it
 * outlives its callers. It ends when all wanters are gone, and at the latest `lingerMs` after the last call.
 */
export type Flights<Result, Report, Who> = {
  /**
   * Joins the flight of this key, or starts it.
   *
   * @throws errors of the work, or the signal's reason as soon as it aborts; the flight continues without the caller.
   */
  join(
    key: string,
    work: Work<Result, Report>,
    caller: FlightCaller<Report, Who>,
    signal: AbortSignal,
  ): Promise<Result>;
  /** Takes the result of a flight of this key that ended while the caller was away, between two of its calls. */
  collect(key: string, callerId: string): Result | undefined;
  list(): readonly Flight<Report, Who>[];
  /** Aborts every flight, and waits until the last one has ended. */
  stop(): Promise<void>;
};

/** The work of a flight, on behalf of all who join it. */
export type Work<Result, Report> = (
  signal: AbortSignal,
  report: (report: Report) => void,
  tenants: Tenants,
) => Promise<Result>;

/**
 * `id` is the same for each call of a returning caller. `onReport` gets the latest report at once, then every new one.
 */
export type FlightCaller<Report, Who> = {
  readonly id: string;
  readonly who: Who;
  /** The tenant whose share of the node's resources it uses. */
  readonly tenant: string;
  readonly onReport: (report: Report) => void;
};

/** A flight in progress. */
export type Flight<Report, Who> = {
  /** Milliseconds since 1970. */
  readonly since: number;
  readonly latest: Report | undefined;
  readonly wanters: readonly Who[];
  /** Ends it for all callers, and waits until it has ended. */
  cancel(reason: ArtifactError): Promise<void>;
};

export type FlightOptions<Who> = {
  readonly lingerMs: number;
  /** How often a flight without a caller checks who is gone. */
  readonly checkMs: number;
  /** Whether a caller whose call has ended will not return. */
  readonly hasLeft: (who: Who) => Promise<boolean>;
};

type Member<Report, Who> = { readonly who: Who; readonly calls: Set<(report: Report) => void> };

type State<Result, Report, Who> = {
  readonly since: number;
  readonly controller: AbortController;
  readonly tenants: Tenants;
  readonly outcome: Promise<Result>;
  /** By id. */
  readonly wanters: Map<string, Member<Report, Who>>;
  latest: Report | undefined;
  checks: NodeJS.Timeout | undefined;
};

/** Far more than the pods of one node that wait at a time; kubelet may never call again for a pod that was deleted. */
const maxUncollected = 1_000;

export function createFlights<Result, Report, Who>({
  lingerMs,
  checkMs,
  hasLeft,
}: FlightOptions<Who>): Flights<Result, Report, Who> {
  type Here = State<Result, Report, Who>;
  const flights = new Map<string, Here>();
  /** By the id of the caller. */
  const uncollected = createRecall<string, { readonly key: string; readonly result: Result }>(maxUncollected);

  const start = (key: string, work: Work<Result, Report>): Here => {
    const controller = new AbortController();
    const tenants = openTenants();
    const report = (latest: Report): void => {
      flight.latest = latest;
      for (const { calls } of flight.wanters.values()) for (const onReport of calls) onReport(latest);
    };
    const outcome = Promise.resolve()
      .then(() => work(controller.signal, report, tenants))
      .then(result => {
        for (const [id, { calls }] of flight.wanters)
          if (calls.size === 0) uncollected.keep(id, { key, result });
        return result;
      })
      .catch((thrown: unknown) => {
        controller.signal.throwIfAborted(); // the reason of the end explains more than the error that it caused
        throw thrown;
      })
      .finally(() => {
        clearInterval(flight.checks);
        flights.delete(key);
      });
    outcome.catch(() => undefined); // every caller may have left
    const flight: Here = {
      since: Date.now(),
      controller,
      tenants,
      outcome,
      wanters: new Map(),
      latest: undefined,
      checks: undefined,
    };
    flights.set(key, flight);
    return flight;
  };

  const check = async (flight: Here, leftAt: number): Promise<void> => {
    for (const [id, { who, calls }] of flight.wanters) {
      if (calls.size === 0 && (await hasLeft(who)) && calls.size === 0) flight.wanters.delete(id);
    }
    if (hasCallers(flight)) return;
    if (flight.wanters.size === 0 || performance.now() - leftAt >= lingerMs)
      flight.controller.abort(new ArtifactError('cancelled', 'no caller waits for it any more'));
  };

  const leave = (
    key: string,
    flight: Here,
    wanter: Member<Report, Who>,
    onReport: (report: Report) => void,
  ): void => {
    wanter.calls.delete(onReport);
    const isUnderWay = flights.get(key) === flight && !flight.controller.signal.aborted;
    if (!isUnderWay || hasCallers(flight)) return;
    const leftAt = performance.now();
    flight.checks = setInterval(() => void check(flight, leftAt), checkMs).unref();
    void check(flight, leftAt);
  };

  /** A returning caller that joins a flight leaves its others: its tag may resolve to another digest by now. */
  const withdraw = (id: string, joined: Here): void => {
    for (const flight of flights.values()) {
      const isLeft = flight !== joined && flight.wanters.get(id)?.calls.size === 0;
      if (!isLeft) continue;
      flight.wanters.delete(id);
      void check(flight, performance.now());
    }
  };

  return {
    async join(key, work, caller, signal) {
      signal.throwIfAborted();
      uncollected.delete(caller.id);
      let flight = flights.get(key);
      // An abandoned flight is about to end; the caller must not share its end.
      while (flight?.controller.signal.aborted === true) {
        await flight.outcome.catch(() => undefined);
        flight = flights.get(key);
      }
      flight ??= start(key, work);
      clearInterval(flight.checks);
      flight.tenants.join(caller.tenant);
      const wanter = flight.wanters.get(caller.id) ?? { who: caller.who, calls: new Set() };
      flight.wanters.set(caller.id, wanter);
      withdraw(caller.id, flight);
      const onReport = (report: Report): void => caller.onReport(report);
      wanter.calls.add(onReport);
      if (flight.latest !== undefined) onReport(flight.latest);
      try {
        return await abortable(flight.outcome, signal);
      } finally {
        leave(key, flight, wanter, onReport);
      }
    },
    collect(key, callerId) {
      const found = uncollected.get(callerId);
      uncollected.delete(callerId);
      return found?.key === key ? found.result : undefined;
    },
    list: () =>
      [...flights.values()].map(({ since, latest, wanters, controller, outcome }) => ({
        since,
        latest,
        wanters: [...wanters.values()].map(({ who }) => who),
        async cancel(reason) {
          controller.abort(reason);
          await outcome.catch(() => undefined);
        },
      })),
    async stop() {
      const stopping = new ArtifactError(
        'unavailable',
        'the daemon is stopping; what was downloaded is kept, and the next call continues from there',
      );
      const all = [...flights.values()];
      for (const flight of all) flight.controller.abort(stopping);
      await Promise.allSettled(all.map(flight => flight.outcome));
    },
  };
}

function hasCallers({ wanters }: Pick<State<unknown, never, unknown>, 'wanters'>): boolean {
  return wanters.values().some(({ calls }) => calls.size > 0);
}
