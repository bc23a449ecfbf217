import type { Freed } from '../../volume/usecases.ts';
import { formatSize } from '../../util/size.ts';
import { operand, print, type Shell } from '../shell.ts';
import { formatCount } from '../text.ts';

/** Forgets one reference and frees what only it held. */
export async function rm(shell: Shell, operands: readonly string[]): Promise<void> {
  const freed = await shell.house.artifacts.remove(operand(operands, 0));
  print(shell, freed, () => formatFreed(freed));
}

/** Frees everything that nothing holds. */
export async function prune(shell: Shell): Promise<void> {
  const freed = await shell.house.artifacts.prune(shell.signal);
  print(shell, freed, () => formatFreed(freed));
}

function formatFreed(freed: Freed): string {
  return `freed ${formatSize(freed.bytes)}, ${formatCount(freed.artifacts, 'artifact')}\n`;
}
