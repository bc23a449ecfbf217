import type { PullRequest } from '../ports/request.ts';
import type { Progress, Pulled } from '../ports/usecases.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { toInterruption } from './interruption.ts';
import { openProgress } from './progress.ts';
import type { Shell } from './shell.ts';

/** What a pull has downloaded so far. */
export type Downloaded = { bytes: number };

/** Pulls with progress on stderr. The error of an interrupted pull says how to continue. */
export async function pulling(
  shell: Shell,
  request: PullRequest,
  reached: Downloaded = { bytes: 0 },
): Promise<Pulled> {
  const { backend, signal } = shell;
  try {
    using view = openProgress(shell.terminal.stderr, shell.output);
    const onProgress = (progress: Progress): void => {
      reached.bytes = Math.max(reached.bytes, progress.bytes);
      view.update(progress);
    };
    return await backend.artifacts.pull(request, onProgress, signal);
  } catch (error) {
    throw toPullError(error, request, signal, reached);
  }
}

/** The error of a pull, which says how to continue if it was interrupted, or ended after some of its bytes. */
export function toPullError(
  thrown: unknown,
  { reference }: PullRequest,
  signal: AbortSignal,
  { bytes }: Downloaded,
): unknown {
  const sequel =
    bytes > 0
      ? `what was downloaded of ${reference} is kept, and the same command continues from there`
      : `nothing of ${reference} was downloaded yet`;
  const { code, message } = toArtifactError(thrown);
  return !signal.aborted && code === 'unavailable' && bytes > 0
    ? new ArtifactError(code, `${message}; ${sequel}`, thrown)
    : toInterruption(thrown, signal, sequel);
}
