import { ArtifactError, toArtifactError } from '../util/error.ts';

/** What a command says that a signal or its deadline ended, in place of what its work threw: why, and how it goes on. */
export function toInterruption(thrown: unknown, signal: AbortSignal, sequel: string): unknown {
  if (!signal.aborted) return thrown;
  const { code, message } = toArtifactError(signal.reason);
  return new ArtifactError(code, `${message}; ${sequel}`, thrown);
}
