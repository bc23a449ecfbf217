import { printable } from '../../util/printable.ts';
import { formatSize } from '../../util/size.ts';
import type { Pulled } from '../../volume/usecases.ts';
import { pulling } from '../pulling.ts';
import { toSecrets } from '../secrets.ts';
import { toPullRequest } from '../selection.ts';
import { operand, type Options, print, printLine, type Shell } from '../shell.ts';
import { formatCount } from '../text.ts';

/** Brings an artifact into the cache, so that a volume of it is mounted at once; or ends the pulls of it. */
export async function pull(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  if (options['cancel'] === true) return cancel(shell, operand(operands, 0));
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const request = toPullRequest(operand(operands, 0), options, secrets);
  const pulled = await pulling(shell, request);
  printLine(shell, { kind: 'pulled', ...pulled }, () => formatPulled(pulled));
}

async function cancel(shell: Shell, reference: string): Promise<void> {
  const pulls = await shell.house.artifacts.cancel(reference);
  print(shell, { reference, pulls }, () => `cancelled ${formatCount(pulls, 'pull')} of ${reference}\n`);
}

function formatPulled({ reference, digest, bytes, inodes, notes }: Pulled): string {
  const lines = [
    `${reference}@${digest}`,
    `${formatSize(bytes)}, ${formatCount(inodes, 'inode')}`,
    ...notes.map(note => `note: ${printable(note)}`),
  ];
  return lines.map(line => `${line}\n`).join('');
}
