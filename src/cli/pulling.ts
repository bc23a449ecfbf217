import { ArtifactError } from '../util/error.ts';
import type { PullRequest } from '../volume/request.ts';
import type { Progress, Pulled } from '../volume/usecases.ts';
import { openProgress } from './progress.ts';
import { printLine, type Shell } from './shell.ts';

/** Pulls and shows how far it is: a bar, or lines of JSON on the output. Says of an interrupted pull how it goes on. */
export async function pulling(shell: Shell, request: PullRequest): Promise<Pulled> {
  const { house, signal } = shell;
  try {
    if (shell.json) {
      const update = (progress: Progress): void =>
        printLine(shell, { kind: 'progress', ...progress }, () => '');
      return await house.artifacts.pull(request, update, signal);
    }
    using view = openProgress(shell.terminal.stderr);
    return await house.artifacts.pull(request, progress => view.update(progress), signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    throw new ArtifactError(
      'cancelled',
      `interrupted; what was downloaded of ${request.reference} is kept, and the same command goes on from there`,
      error,
    );
  }
}
