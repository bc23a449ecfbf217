import type { Pulled } from '../../ports/usecases.ts';
import { formatSize } from '../../util/size.ts';
import { formatCount } from '../../util/words.ts';
import { print } from '../output.ts';
import { pulling } from '../pulling.ts';
import { toDigested, toReference } from '../reference.ts';
import { toSecrets } from '../secrets.ts';
import { toPullRequest } from '../selection.ts';
import { type Options, operand, type Shell } from '../shell.ts';
import { formatLines } from '../text.ts';

/** Pulls an artifact into the cache, or ends the pulls of it. */
export async function pull(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  if (options['cancel'] === true) return cancel(shell, operand(operands, 0));
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const reference = await toReference(operand(operands, 0), shell.backend);
  const request = toPullRequest(reference, options, secrets);
  const pulled = await pulling(shell, request);
  const names = [toDigested(pulled)];
  await print(shell, { value: pulled, text: () => formatPulled(pulled), names });
}

async function cancel(shell: Shell, reference: string): Promise<void> {
  const pulls = await shell.backend.artifacts.cancel(reference);
  const text = (): string => `cancelled ${formatCount(pulls, 'pull')} of ${reference}\n`;
  await print(shell, { value: { reference, pulls }, text, names: [reference] });
}

/** The root is not counted. */
function formatPulled(pulled: Pulled): string {
  const count = pulled.inodes - 1;
  return formatLines([
    toDigested(pulled),
    `${formatSize(pulled.bytes)}, ${count === 1 ? '1 file or directory' : `${count} files and directories`}`,
    ...pulled.notes.map(note => `note: ${note}`),
  ]);
}
