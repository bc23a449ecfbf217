import { ArtifactError, toArtifactError } from '../util/error.ts';

/** The error of a command that a signal or its deadline ended: the reason, and how to continue. */
export function toInterruption(thrown: unknown, signal: AbortSignal, sequel: string): unknown {
  if (!signal.aborted) return thrown;
  const { code, message } = toArtifactError(signal.reason);
  return new ArtifactError(code, `${message}; ${sequel}`, thrown);
}
