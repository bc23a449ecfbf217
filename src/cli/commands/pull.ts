import { ArtifactError } from '../../util/error.ts';
import { formatSize } from '../../util/size.ts';
import type { Pulled } from '../../volume/usecases.ts';
import { openProgress } from '../progress.ts';
import { toSecrets } from '../secrets.ts';
import { toPullRequest } from '../selection.ts';
import { operand, type Options, printLine, type Shell } from '../shell.ts';
import { formatCount } from '../text.ts';

/** Brings an artifact into the cache, so that a volume of it is mounted at once. */
export async function pull(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const request = toPullRequest(operand(operands, 0), options, secrets);
  const pulled = await pulling(shell, request.reference, update =>
    shell.house.artifacts.pull(request, update, shell.signal),
  );
  printLine(shell, { kind: 'pulled', ...pulled }, () => formatPulled(pulled));
}

/** Shows the progress of a pull, and says of an interrupted one how it goes on. */
async function pulling(
  shell: Shell,
  reference: string,
  work: (update: Parameters<Shell['house']['artifacts']['pull']>[1]) => Promise<Pulled>,
): Promise<Pulled> {
  try {
    if (shell.json) {
      return await work(progress => printLine(shell, { kind: 'progress', ...progress }, () => ''));
    }
    using view = openProgress(shell.terminal.stderr);
    return await work(progress => view.update(progress));
  } catch (error) {
    if (!shell.signal.aborted) throw error;
    throw new ArtifactError(
      'cancelled',
      `interrupted; what was downloaded of ${reference} is kept, and the same command goes on from there`,
      error,
    );
  }
}

function formatPulled({ reference, digest, bytes, inodes }: Pulled): string {
  return `${reference}@${digest}\n${formatSize(bytes)}, ${formatCount(inodes, 'inode')}\n`;
}
