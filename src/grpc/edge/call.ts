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
import { type ArtifactError, toArtifactError } from '../../util/error.ts';
import { shorten } from '../../util/name.ts';
import { printable } from '../../util/printable.ts';
import { redact, type Secrets, secretTexts } from '../../volume/redaction.ts';
import { explain, type GrpcCaller, openCallSignal } from './call-signal.ts';
import type { Drain } from './drain.ts';
import { createCallLimit, received, sender } from './message-stream.ts';
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
  let secrets: Secrets = [];
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
      const failed = toStatus(error, text => redact(text, secrets));
      code = failed.code;
      settle({ kind: 'failed', status: failed });
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

/** The fields of a call that are logged. Nothing else of a request is logged. */
export type CallNote = Partial<
  Record<NotedText, string | undefined> & Record<NotedCount, number | undefined>
>;
type NotedText = 'volumeId' | 'target' | 'namespace' | 'pod' | 'reference' | 'digest';
type NotedCount =
  | 'bytes'
  | 'pulled'
  | 'resumed'
  | 'cached'
  | 'checked'
  | 'damaged'
  | `${'pulled' | 'cached'}Layers`;

export type CallRecord = {
  /** `/csi.v1.Node/NodePublishVolume`. */
  readonly method: string;
  readonly note: CallNote;
  readonly milliseconds: number;
  readonly code: status;
  /** What a failed call threw. */
  readonly error: Error | undefined;
  readonly secrets: Secrets;
};

/** Calls that kubelet and probes repeat: logged at info only if they fail, else at debug. */
const frequent =
  /\/(?:Probe|GetPlugin\w+|NodeGet\w+|GetInfo|Check|Watch|ServerReflectionInfo|List\w*|GetStatus)$/;

/** Longer values are cut, and control characters are escaped, so that every log line is readable. */
const longest = 1024;

/** What kubelet wrote. A pod that has these texts in a Secret must not hide itself from the log. */
const fromKubelet = new Set(['volumeId', 'target', 'namespace', 'pod']);

/** Logs one line for a call, without the secrets of its request. */
export function logCall(log: Logger, { method, note, milliseconds, code, error, secrets }: CallRecord): void {
  const shown = (text: string): string => printable(shorten(text, longest));
  const clean = (value: unknown, key = ''): unknown => {
    if (typeof value !== 'string') return value;
    return shown(fromKubelet.has(key) ? value : redact(value, secrets));
  };
  const fields = Object.fromEntries(
    Object.entries(note).map(([key, value]): [string, unknown] => [key, clean(value, key)]),
  );
  const [level, message] = describeEnd(method, code);
  log[level](
    {
      method,
      ...fields,
      ms: Math.round(milliseconds * 10) / 10,
      code: status[code],
      ...(error === undefined ? {} : { error: clean(error.message) }),
      // An internal error is a bug or a broken disk, so its stack is logged.
      ...(code === status.INTERNAL ? { stack: redact(stackOf(error), secrets) } : {}),
    },
    message,
  );
}

/** The message of a successful call; calls that are not listed are logged by their method. */
const deeds: Readonly<Record<string, string>> = {
  NodePublishVolume: 'volume published',
  NodeUnpublishVolume: 'volume unpublished',
  Pull: 'artifact pulled',
  CancelPull: 'pull cancelled',
  Resolve: 'reference resolved',
  Inspect: 'artifact shown',
  ExplainCredentials: 'credentials explained',
  Remove: 'artifact removed',
  Load: 'artifacts loaded',
  Prune: 'cache pruned',
  Pin: 'artifact pinned',
  Unpin: 'artifact unpinned',
  Mount: 'artifact mounted',
  Unmount: 'artifact unmounted',
  Fsck: 'cache verified',
};

function describeEnd(method: string, code: status): readonly ['debug' | 'info' | 'warn' | 'error', string] {
  const name = method.slice(method.lastIndexOf('/') + 1);
  switch (code) {
    case status.OK:
      return [frequent.test(method) ? 'debug' : 'info', deeds[name] ?? `${name} answered`];
    case status.ABORTED:
      return ['info', `${name} goes on`];
    case status.CANCELLED:
      return ['info', `${name} cancelled`];
    case status.INTERNAL:
      return ['error', `${name} failed`];
    default:
      return ['warn', `${name} failed`];
  }
}

function stackOf(error: Error | undefined): string {
  const deepest = error?.cause instanceof Error ? error.cause : error;
  return deepest?.stack ?? '';
}
