/** Bounds of incomplete requests. */
export type TurnBounds = {
  /** Bytes of all of them together, up to which all are read. */
  readonly held: number;
  /** Above that, the number of requests that are read, each for at most `turnMs` while others wait. */
  readonly turns: number;
  readonly turnMs: number;
};

/** An incoming request: how to pause, resume and end its reading. */
export type Incoming = { pause(): void; resume(): void; end(): void };

export type RequestTurns = {
  /** Counts bytes of a request, and pauses it if it must wait for its turn. */
  add(request: Incoming, bytes: number): void;
  /** The request is complete, or gone. */
  leave(request: Incoming): void;
};

type Part = { bytes: number; isWaiting: boolean; hasTurn: boolean; since: number };

/**
 * An incomplete request stays in memory, so all of them share a bound. Below it, they are read as they arrive. Above
 * it, a few are read at a time, oldest first, and the others wait unread: a burst of honest requests takes longer, and
 * none is refused. Only a request that is not completed in its turn is ended while others wait.
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

  /** Resumes requests: all below the bound, and as many as there are turns above it. */
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

  /** Ends requests whose turn has lasted long enough while others wait. */
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
