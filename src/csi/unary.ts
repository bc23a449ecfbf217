import { type EventEmitter, once } from 'node:events';
import type { Readable } from 'node:stream';
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { type Caller, explain, openCallSignal } from './call-signal.ts';
import { logCall, type Note } from './call-log.ts';
import type { Drain } from './drain.ts';
import { redact, secretTexts } from './secret-text.ts';
import { type ArtifactError, toArtifactError } from '../util/error.ts';
import { type Status, toStatus } from './status.ts';

/** Tells of a call that ended: `/csi.v1.Node/NodePublishVolume`, the number of its gRPC status, and how long it took. */
export type Observe = (method: string, code: number, seconds: number) => void;

/** What every call goes through. */
export type Edge = { readonly log: Logger; readonly observe: Observe; readonly drain: Drain };

/** What a handler is given beside its request. */
export type Call = {
  /** Aborts with a DeadlineNear, an AbortError when the caller leaves, or an ArtifactError when the daemon stops. */
  readonly signal: AbortSignal;
  /** Adds to the log line of this call. */
  note(fields: Note): void;
};

type Outcome<Response> =
  | { readonly kind: 'done'; readonly response: Response }
  | { readonly kind: 'failed'; readonly status: Status };

/**
 * These four are the only way from gRPC to a handler. Whatever a handler throws becomes a status with a text and
 * nothing else; each call is logged and measured once; a handler that fails never takes the process with it.
 */
export function unary<Request, Response>(
  edge: Edge,
  handle: (request: Request, call: Call) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (wire, answer) => {
    const work = (call: Call): Promise<Response> => handle(wire.request, call);
    void perform(edge, wire, wire.request, work, outcome => respond(answer, outcome));
  };
}

/** For a handler that sends messages while it works. What is sent to a caller who has left is dropped. */
export function serverStream<Request, Response>(
  edge: Edge,
  handle: (request: Request, send: (message: Response) => void, call: Call) => Promise<void>,
): handleServerStreamingCall<Request, Response> {
  return wire => {
    const send = (message: Response): void => void (wire.cancelled || wire.write(message));
    const work = (call: Call): Promise<void> => handle(wire.request, send, call);
    void perform(edge, wire, wire.request, work, outcome => finish(wire, outcome));
  };
}

/** For a handler that takes messages while it works. */
export function clientStream<Request, Response>(
  edge: Edge,
  handle: (messages: AsyncIterable<Request>, call: Call) => Promise<Response>,
): handleClientStreamingCall<Request, Response> {
  return (wire, answer) => {
    const work = (call: Call): Promise<Response> => handle(received(wire, call.signal), call);
    void perform(edge, wire, undefined, work, outcome => respond(answer, outcome));
  };
}

/**
 * For a handler that does both. Sending waits until the caller has taken what was sent before: one that asks and reads no
 * answer must not fill the memory with them. What is sent to a caller who has left is dropped.
 */
export function bothStreams<Request, Response>(
  edge: Edge,
  handle: (
    messages: AsyncIterable<Request>,
    send: (message: Response) => Promise<void>,
    call: Call,
  ) => Promise<void>,
): handleBidiStreamingCall<Request, Response> {
  return wire => {
    const work = (call: Call): Promise<void> => {
      const send = async (message: Response): Promise<void> => {
        if (!wire.cancelled && !wire.write(message)) await whenDrained(wire, call.signal);
      };
      return handle(received(wire, call.signal), send, call);
    };
    void perform(edge, wire, undefined, work, outcome => finish(wire, outcome));
  };
}

/** Does the work of a call, settles it and records it. Never rejects. */
async function perform<Response>(
  edge: Edge,
  wire: Caller & { getPath(): string },
  request: unknown,
  work: (call: Call) => Promise<Response>,
  settle: (outcome: Outcome<Response>) => void,
): Promise<void> {
  const started = performance.now();
  const method = wire.getPath();
  let note: Note = {};
  let secrets: readonly string[] = [];
  let error: ArtifactError | undefined;
  let code = status.OK;
  try {
    using aborting = openCallSignal(wire);
    try {
      secrets = secretTexts(request);
      using _place = edge.drain.enter(aborting.abort);
      const add = (fields: Note): void => {
        note = { ...note, ...fields };
      };
      const response = await work({ signal: aborting.signal, note: add });
      settle({ kind: 'done', response });
    } catch (thrown) {
      error = explain(thrown, aborting.signal);
      const failed = toStatus(error);
      code = failed.code;
      settle({ kind: 'failed', status: { code, details: redact(failed.details, secrets) } });
    }
    const milliseconds = performance.now() - started;
    logCall(edge.log, { method, note, milliseconds, code, error, secrets });
    edge.observe(method, code, milliseconds / 1000);
  } catch (thrown) {
    edge.log.error(
      { method, error: redact(toArtifactError(thrown).message, secrets) },
      'a call was not recorded',
    );
  }
}

function respond<Response>(answer: sendUnaryData<Response>, outcome: Outcome<Response>): void {
  if (outcome.kind === 'done') answer(null, outcome.response);
  else answer(outcome.status);
}

/** Ends a stream of answers. A caller who has left has destroyed it already. */
function finish(wire: EventEmitter & { cancelled: boolean; end(): unknown }, outcome: Outcome<void>): void {
  if (wire.cancelled) return;
  if (outcome.kind === 'done') wire.end();
  else wire.emit('error', outcome.status);
}

/**
 * A caller's messages; waiting for the next one ends with the signal. Their end proves nothing: a stream that is reset,
 * or whose connection breaks, often ends like any other before it is cancelled.
 */
async function* received<Message>(wire: Readable, signal: AbortSignal): AsyncGenerator<Message> {
  // An ordinary iterator destroys the stream at its end, and with it the answers that it carries the other way.
  const messages: AsyncIterator<Message> = wire.iterator({ destroyOnReturn: false });
  for (;;) {
    const next = await orAborted(messages.next(), signal);
    if (next.done === true) return;
    yield next.value;
  }
}

/** Waits until there is room for more. @throws the signal's reason. */
async function whenDrained(wire: EventEmitter, signal: AbortSignal): Promise<void> {
  try {
    await once(wire, 'drain', { signal });
  } catch (thrown) {
    signal.throwIfAborted();
    throw thrown;
  }
}

/** The work's result, or the signal's reason if it aborts first. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const result = await Promise.race([work, aborted]);
    signal.throwIfAborted();
    return result;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
