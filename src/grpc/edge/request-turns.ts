/** What the requests that are not whole yet may cost. */
export type TurnBounds = {
  /** Bytes that they may hold together while all of them are read. */
  readonly held: number;
  /** How many are read beyond that, each for `turnMs` at most while others wait. */
  readonly turns: number;
  readonly turnMs: number;
};

/** A request that comes in: how to stop and to go on reading it, and how to refuse it. */
export type Incoming = { pause(): void; resume(): void; end(): void };

export type RequestTurns = {
  /** Counts what has come of a request; pauses it where it must wait for its turn. */
  add(request: Incoming, bytes: number): void;
  /** It is whole, or gone. */
  leave(request: Incoming): void;
};

type Part = { bytes: number; isWaiting: boolean; hasTurn: boolean; since: number };

/**
 * The part of an unfinished request stays in memory, so all of them share a bound. Below it they are read as they come.
 * Above it a few are read at a time, oldest first, and the others wait unread: a burst of honest requests takes longer and
 * none is refused. Only a request that nobody finishes is ended, to let others have its turn.
 */
export function createRequestTurns(bounds: TurnBounds): RequestTurns {
  const parts = new Map<Incoming, Part>();
  let held = 0;
  let turns = 0;
  let timer: NodeJS.Timeout | undefined;

  const leave = (request: Incoming): void => {
    const part = parts.get(request);
    if (part === undefined) return;
    parts.delete(request);
    held -= part.bytes;
    if (part.hasTurn) turns--;
    admit();
  };

  /** Lets those go on that may: all below the bound, and as many as there are turns above it. */
  function admit(): void {
    for (const [request, part] of parts) {
      if (!part.isWaiting) continue;
      if (held > bounds.held) {
        if (turns >= bounds.turns) return;
        turns++;
        part.hasTurn = true;
      }
      part.isWaiting = false;
      part.since = performance.now();
      request.resume();
    }
  }

  /** Ends those that were read for long enough while others wait. */
  function relieve(): void {
    timer = undefined;
    if (held <= bounds.held) return;
    const latest = performance.now() - bounds.turnMs;
    const late = [...parts].filter(([, part]) => !part.isWaiting && part.since <= latest);
    for (const [request] of late) {
      leave(request);
      request.end();
    }
    watch();
  }

  function watch(): void {
    if (held > bounds.held) timer ??= setTimeout(relieve, bounds.turnMs / 4).unref();
  }

  return {
    add(request, bytes) {
      const part = parts.get(request) ?? {
        bytes: 0,
        isWaiting: false,
        hasTurn: false,
        since: performance.now(),
      };
      parts.set(request, part);
      part.bytes += bytes;
      held += bytes;
      if (held <= bounds.held || part.hasTurn) return;
      part.isWaiting = true;
      request.pause();
      admit();
      watch();
    },
    leave,
  };
}
