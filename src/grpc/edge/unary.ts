import type { EventEmitter } from 'node:events';
import {
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { redact, secretTexts } from '../../volume/redaction.ts';
import { type CallNote, logCall } from './call-log.ts';
import { explain, type GrpcCaller, openCallSignal } from './call-signal.ts';
import type { Drain } from './drain.ts';
import { received, sender } from './message-stream.ts';
import { type Status, toStatus } from './status.ts';

/** Observes a call that ended: `/csi.v1.Node/NodePublishVolume`, the number of its gRPC status, and its duration. */
export type Observe = (method: string, code: number, seconds: number) => void;

/** What all handlers share. */
export type Edge = { readonly log: Logger; readonly observe: Observe; readonly drain: Drain };

/** What a handler gets beside its request. */
export type CallContext = {
  /** Aborts with a DeadlineNear, an AbortError if the caller leaves, or an ArtifactError if the daemon stops. */
  readonly signal: AbortSignal;
  /** Adds to the log line of this call. */
  note(fields: CallNote): void;
};

type Outcome<Response> =
  | { readonly kind: 'done'; readonly response: Response }
  | { readonly kind: 'failed'; readonly status: Status };

/**
 * These four are the only way from gRPC to a handler. An error of a handler becomes a status with a text and nothing
 * else, and never ends the process. Each call is logged and measured once.
 */
export function unary<Request, Response>(
  edge: Edge,
  handle: (request: Request, call: CallContext) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (wire, answer) => {
    const work = (call: CallContext): Promise<Response> => handle(wire.request, call);
    void perform(edge, wire, wire.request, work, outcome => respond(answer, outcome));
  };
}

/** For a handler that sends messages while it works, as `sender` does. */
export function serverStream<Request, Response>(
  edge: Edge,
  handle: (request: Request, send: (message: Response) => Promise<void>, call: CallContext) => Promise<void>,
): handleServerStreamingCall<Request, Response> {
  return wire => {
    const work = (call: CallContext): Promise<void> => handle(wire.request, sender(wire, call.signal), call);
    void perform(edge, wire, wire.request, work, outcome => finish(wire, outcome));
  };
}

/** For a handler that receives messages while it works; a few calls at once. */
export function clientStream<Request, Response>(
  edge: Edge,
  handle: (messages: AsyncIterable<Request>, call: CallContext) => Promise<Response>,
): handleClientStreamingCall<Request, Response> {
  const limit = createCallLimit();
  return (wire, answer) => {
    const work = async (call: CallContext): Promise<Response> => {
      using _call = limit.take();
      return await handle(received(wire, call.signal), call);
    };
    void perform(edge, wire, undefined, work, outcome => respond(answer, outcome));
  };
}

/** For a handler that does both; a few calls at once. */
export function bothStreams<Request, Response>(
  edge: Edge,
  handle: (
    messages: AsyncIterable<Request>,
    send: (message: Response) => Promise<void>,
    call: CallContext,
  ) => Promise<void>,
): handleBidiStreamingCall<Request, Response> {
  const limit = createCallLimit();
  return wire => {
    const work = async (call: CallContext): Promise<void> => {
      using _call = limit.take();
      await handle(received(wire, call.signal), sender(wire, call.signal), call);
    };
    void perform(edge, wire, undefined, work, outcome => finish(wire, outcome));
  };
}

/** Concurrent calls of one method that send messages; for each, some messages wait in memory for the handler. */
const mostSenders = 8;

function createCallLimit(): { take(): Disposable } {
  let taken = 0;
  return {
    take() {
      if (taken >= mostSenders) {
        throw new ArtifactError('busy', `${mostSenders} calls of this method are open; call again later`);
      }
      taken++;
      return { [Symbol.dispose]: () => void taken-- };
    },
  };
}

/** Runs a call, settles it and records it. Never rejects. */
async function perform<Response>(
  edge: Edge,
  wire: GrpcCaller & { getPath(): string },
  request: unknown,
  work: (call: CallContext) => Promise<Response>,
  settle: (outcome: Outcome<Response>) => void,
): Promise<void> {
  const started = performance.now();
  const method = wire.getPath();
  let note: CallNote = {};
  let secrets: readonly string[] = [];
  let error: ArtifactError | undefined;
  let code = status.OK;
  try {
    using aborting = openCallSignal(wire);
    try {
      secrets = secretTexts(request);
      using _place = edge.drain.enter(aborting.abort);
      const add = (fields: CallNote): void => {
        note = { ...note, ...fields };
      };
      const response = await work({ signal: aborting.signal, note: add });
      settle({ kind: 'done', response });
    } catch (thrown) {
      error = explain(thrown, aborting.signal);
      const failed = toStatus(error);
      code = failed.code;
      settle({ kind: 'failed', status: { ...failed, details: redact(failed.details, secrets) } });
    }
    const milliseconds = performance.now() - started;
    logCall(edge.log, { method, note, milliseconds, code, error, secrets });
    edge.observe(method, code, milliseconds / 1000);
  } catch (thrown) {
    edge.log.error(
      { method, error: redact(toArtifactError(thrown).message, secrets) },
      'a call could not be logged',
    );
  }
}

function respond<Response>(answer: sendUnaryData<Response>, outcome: Outcome<Response>): void {
  if (outcome.kind === 'done') answer(null, outcome.response);
  else answer(outcome.status);
}

/** Ends a stream of answers. A caller that has left has destroyed it already. */
function finish(wire: EventEmitter & { cancelled: boolean; end(): unknown }, outcome: Outcome<void>): void {
  if (wire.cancelled) return;
  if (outcome.kind === 'done') wire.end();
  else wire.emit('error', outcome.status);
}
