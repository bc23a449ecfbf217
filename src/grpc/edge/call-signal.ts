import { DeadlineNear } from '../../util/deadline-near.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';

/** The properties that all kinds of calls share. */
export type GrpcCaller = {
  readonly cancelled: boolean;
  getDeadline(): Date | number;
  on(event: 'cancelled', listener: () => void): unknown;
};

export type CallSignal = Disposable & {
  readonly signal: AbortSignal;
  readonly abort: (reason: unknown) => void;
};

/** The longest timer of Node, ms; a longer one fires at once. */
const longestTimer = 2 ** 31 - 1;

/**
 * How long to work before an answer must be prepared, ms: until 10 s before the deadline, or three quarters of the time
 * if it is less than 40 s.
 */
export function workingTime(untilDeadline: number): number {
  return untilDeadline < 40_000 ? untilDeadline * 0.75 : untilDeadline - 10_000;
}

/**
 * Turns a caller's deadline and cancellation into a signal, whose reason is a DeadlineNear or an AbortError. Dispose it
 * when the work is done, because `cancelled` also fires after ordinary answers.
 */
export function openCallSignal(caller: GrpcCaller): CallSignal {
  const controller = new AbortController();
  let done = false;
  const abort = (reason?: unknown): void => {
    if (!done) controller.abort(reason);
  };
  const wait = workingTime(Number(caller.getDeadline()) - Date.now());
  const end = (): void => abort(new DeadlineNear('the deadline is near'));
  const timer = wait <= longestTimer ? setTimeout(end, wait) : undefined;
  caller.on('cancelled', () => abort());
  if (caller.cancelled) abort();
  return {
    signal: controller.signal,
    abort,
    [Symbol.dispose]: () => {
      done = true;
      clearTimeout(timer);
    },
  };
}

/** The error of a call: what was thrown, or the reason of the signal that caused it. */
export function explain(thrown: unknown, signal: AbortSignal): ArtifactError {
  const reason: unknown = signal.reason;
  const error = toArtifactError(thrown);
  if (!signal.aborted || (thrown !== reason && error.code !== 'cancelled')) return error;
  if (reason instanceof ArtifactError) return reason;
  if (reason instanceof DeadlineNear) {
    return new ArtifactError(
      'busy',
      'the deadline of the call is near and the work is not done; call again',
      thrown,
    );
  }
  return new ArtifactError('cancelled', 'the caller went away', thrown);
}
