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
    const sequel = `what was downloaded of ${request.reference} is kept, and the same command continues from there`;
    throw toInterruption(error, signal, sequel);
  }
}
