import type { PullRequest } from '../ports/request.ts';
import type { Pulled } from '../ports/usecases.ts';
import { toInterruption } from './interruption.ts';
import { openProgress } from './progress.ts';
import type { Shell } from './shell.ts';

/** Pulls with progress on stderr. The error of an interrupted pull says how to continue. */
export async function pulling(shell: Shell, request: PullRequest): Promise<Pulled> {
  const { backend, signal } = shell;
  try {
    using view = openProgress(shell.terminal.stderr, shell.output);
    return await backend.artifacts.pull(request, progress => view.update(progress), signal);
  } catch (error) {
    throw toPullError(error, request, signal);
  }
}

/** The error of a pull, which says how to continue if it was interrupted. */
export function toPullError(thrown: unknown, { reference }: PullRequest, signal: AbortSignal): unknown {
  const sequel = `what was downloaded of ${reference} is kept, and the same command continues from there`;
  return toInterruption(thrown, signal, sequel);
}
