import { abortable } from '../util/abortable.ts';
import { ArtifactError } from '../util/error.ts';

/**
 * Work that callers share: whoever asks for a key under way joins it. The work has its own AbortController, so it
 * outlives its callers, by `lingerMs` after the last one has left.
 */
export type Flights<Result, Report> = {
  /**
   * Joins the flight of this key, or starts it. `onReport` gets the latest report at once, then every new one.
   * @throws what the work throws, or the signal's reason as soon as it aborts; the flight goes on without the caller.
   */
  join(
    key: string,
    work: (signal: AbortSignal, report: (report: Report) => void) => Promise<Result>,
    onReport: (report: Report) => void,
    signal: AbortSignal,
  ): Promise<Result>;
  /** How many are under way. */
  count(): number;
  /** Aborts every flight, and waits until the last has ended. */
  stop(): Promise<void>;
};

type Flight<Result, Report> = {
  readonly controller: AbortController;
  readonly outcome: Promise<Result>;
  readonly listeners: Set<(report: Report) => void>;
  latest: Report | undefined;
  linger: NodeJS.Timeout | undefined;
};

export function createFlights<Result, Report>(lingerMs: number): Flights<Result, Report> {
  const flights = new Map<string, Flight<Result, Report>>();

  const start = (
    key: string,
    work: (signal: AbortSignal, report: (report: Report) => void) => Promise<Result>,
  ): Flight<Result, Report> => {
    const controller = new AbortController();
    const listeners = new Set<(report: Report) => void>();
    const report = (latest: Report): void => {
      flight.latest = latest;
      for (const listener of listeners) listener(latest);
    };
    const outcome = Promise.resolve()
      .then(() => work(controller.signal, report))
      .finally(() => {
        clearTimeout(flight.linger);
        flights.delete(key);
      });
    outcome.catch(() => undefined); // every caller may have left
    const flight: Flight<Result, Report> = {
      controller,
      outcome,
      listeners,
      latest: undefined,
      linger: undefined,
    };
    flights.set(key, flight);
    return flight;
  };

  const leave = (flight: Flight<Result, Report>, listener: (report: Report) => void): void => {
    flight.listeners.delete(listener);
    if (flight.listeners.size > 0) return;
    const abandon = (): void =>
      flight.controller.abort(new ArtifactError('cancelled', 'nobody waits for it any more'));
    flight.linger = setTimeout(abandon, lingerMs).unref();
  };

  return {
    async join(key, work, onReport, signal) {
      signal.throwIfAborted();
      let flight = flights.get(key);
      // One that was abandoned is about to end; the caller must not share its end.
      while (flight?.controller.signal.aborted === true) {
        await flight.outcome.catch(() => undefined);
        flight = flights.get(key);
      }
      flight ??= start(key, work);
      clearTimeout(flight.linger);
      const listener = (report: Report): void => onReport(report);
      flight.listeners.add(listener);
      if (flight.latest !== undefined) onReport(flight.latest);
      try {
        return await abortable(flight.outcome, signal);
      } finally {
        leave(flight, listener);
      }
    },
    count: () => flights.size,
    async stop() {
      const stopping = new ArtifactError(
        'unavailable',
        'the daemon is stopping; what was downloaded is kept, and the next call goes on from there',
      );
      const all = [...flights.values()];
      for (const flight of all) flight.controller.abort(stopping);
      await Promise.allSettled(all.map(flight => flight.outcome));
    },
  };
}
