import { constants, type ServerHttp2Stream } from 'node:http2';
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';

export type IntakeBounds = TurnBounds & {
  /** Bytes of a message in a stream of several: some of them wait for the handler. */
  readonly streamed: number;
  /** Bytes above which a request is large. */
  readonly large: number;
  /** Bytes that the large requests in progress may have together: each holds its memory until it is answered. */
  readonly inProgress: number;
};

/** The memory of a piece of a message beyond its bytes. */
const overhead = 256;

/** Bounds the memory of incoming requests on all connections together. */
export function boundIntake(bounds: IntakeBounds): ServerInterceptor {
  const turns = createRequestTurns(bounds);
  const admit = createRoom(bounds);
  return ({ requestStream }, call) =>
    requestStream ? boundMessages(call, bounds.streamed) : takeTurn(call, turns, admit);
}

function takeTurn(
  call: ServerInterceptingCallInterface,
  turns: ReturnType<typeof createRequestTurns>,
  admit: ReturnType<typeof createRoom>,
): ServerInterceptingCall {
  const stream = streamOf(call);
  let bytes = 0;
  let isRefused = false;
  const request = {
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    end: () => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM),
  };
  const count = (piece: Buffer): void => {
    bytes += piece.length;
    turns.add(request, piece.length + overhead);
  };
  const leave = (): void => {
    stream.off('data', count); // data of a call that was answered is discarded
    turns.leave(request);
  };
  stream.on('data', count).once('end', leave).once('close', leave);
  const listener = new ServerListenerBuilder()
    .withOnCancel(leave)
    .withOnReceiveMessage((message: unknown, next) => {
      isRefused = !admit(stream, bytes);
      if (!isRefused) next(message);
      else call.sendStatus({ code: status.ABORTED, details: busy });
    })
    .withOnReceiveHalfClose(next => {
      if (!isRefused) next();
    })
    .build();
  return new ServerInterceptingCall(call, { start: next => next(listener) });
}

const busy = 'calls with large secrets are in progress and hold the memory for them; call again later';

/** Says whether a request may start. It counts a large one until its stream is closed; the first has always room. */
function createRoom({
  large,
  inProgress,
}: IntakeBounds): (stream: ServerHttp2Stream, bytes: number) => boolean {
  let taken = 0;
  return (stream, bytes) => {
    if (bytes <= large || stream.destroyed) return true;
    if (taken > 0 && taken + bytes > inProgress) return false;
    taken += bytes;
    stream.once('close', () => void (taken -= bytes));
    return true;
  };
}

function boundMessages(call: ServerInterceptingCallInterface, most: number): ServerInterceptingCall {
  const stream = streamOf(call);
  let bytes = 0;
  const count = (piece: Buffer): void => {
    bytes += piece.length + overhead;
    if (bytes <= most) return;
    stream.off('data', count);
    call.sendStatus({
      code: status.INVALID_ARGUMENT,
      details: `a message of this call may have ${most} bytes; send the content in smaller pieces`,
    });
  };
  stream.on('data', count);
  const listener = new ServerListenerBuilder()
    .withOnReceiveMessage((message: unknown, next) => {
      bytes = 0;
      next(message);
    })
    .build();
  return new ServerInterceptingCall(call, { start: next => next(listener) });
}

/** The library does not expose the stream, and has no other way to read a part of a message slowly, or to close it. */
function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return (call as unknown as { readonly stream: ServerHttp2Stream }).stream;
}

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
