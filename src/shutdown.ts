import process from 'node:process';
import type { Logger } from 'pino';
import type { ArtifactError } from './util/error.ts';

/** kubelet and systemd give a stopping process this long. The next start does the rest. */
const stopWithinMs = 9_500;

/** Why the daemon ends: a signal asked it to, or something failed. */
export type End = {
  readonly signal: AbortSignal;
  readonly reason: Promise<ArtifactError | undefined>;
  fail(error: ArtifactError): void;
};

export function listenForEnd(): End {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<ArtifactError | undefined>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(undefined));
  void promise.then(() => controller.abort());
  return { signal: controller.signal, reason: promise, fail: resolve };
}

/** Ends the process if stopping takes longer than it may. */
export function limitStop(log: Logger, exitCode: number): Disposable {
  const late = setTimeout(() => {
    log.warn('some work did not end in time; the next start continues it');
    process.exit(exitCode);
  }, stopWithinMs);
  return { [Symbol.dispose]: () => clearTimeout(late) };
}
