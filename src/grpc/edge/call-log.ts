import { status } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { shorten } from '../../util/name.ts';
import { printable } from '../../util/printable.ts';
import { redact } from '../../volume/redaction.ts';

/** The fields of a call that are logged. Nothing else of a request is logged. */
export type CallNote = {
  readonly volumeId?: string | undefined;
  readonly target?: string | undefined;
  readonly namespace?: string | undefined;
  readonly pod?: string | undefined;
  readonly reference?: string | undefined;
  readonly digest?: string | undefined;
  readonly bytes?: number | undefined;
};

export type CallRecord = {
  /** `/csi.v1.Node/NodePublishVolume`. */
  readonly method: string;
  readonly note: CallNote;
  readonly milliseconds: number;
  readonly code: status;
  /** What a failed call threw. */
  readonly error: Error | undefined;
  readonly secrets: readonly string[];
};

/** Calls that kubelet and probes repeat: logged at info only if they fail, else at debug. */
const frequent =
  /\/(?:Probe|GetPlugin\w+|NodeGet\w+|GetInfo|Check|Watch|ServerReflectionInfo|List\w*|GetStatus)$/;

/** Longer values are cut, and control characters are escaped, so that every log line is readable. */
const longest = 1024;

/** Logs one line for a call, without the secrets of its request. */
export function logCall(log: Logger, { method, note, milliseconds, code, error, secrets }: CallRecord): void {
  const clean = (value: unknown): unknown =>
    typeof value === 'string' ? printable(shorten(redact(value, secrets), longest)) : value;
  const fields = Object.fromEntries(
    Object.entries(note).map(([key, value]): [string, unknown] => [key, clean(value)]),
  );
  log[levelOf(method, code)](
    {
      method,
      ...fields,
      ms: Math.round(milliseconds * 10) / 10,
      code: status[code],
      ...(error === undefined ? {} : { error: clean(error.message) }),
      // An internal error is a bug or a broken disk, so its stack is logged.
      ...(code === status.INTERNAL ? { stack: redact(stackOf(error), secrets) } : {}),
    },
    messageOf(method, code),
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

function messageOf(method: string, code: status): string {
  const name = method.slice(method.lastIndexOf('/') + 1);
  switch (code) {
    case status.OK:
      return deeds[name] ?? `${name} answered`;
    case status.ABORTED:
      return `${name} goes on`;
    case status.CANCELLED:
      return `${name} cancelled`;
    default:
      return `${name} failed`;
  }
}

function levelOf(method: string, code: status): 'debug' | 'info' | 'warn' | 'error' {
  switch (code) {
    case status.OK:
      return frequent.test(method) ? 'debug' : 'info';
    case status.ABORTED:
    case status.CANCELLED:
      return 'info';
    case status.INTERNAL:
      return 'error';
    default:
      return 'warn';
  }
}

function stackOf(error: Error | undefined): string {
  const deepest = error?.cause instanceof Error ? error.cause : error;
  return deepest?.stack ?? '';
}
