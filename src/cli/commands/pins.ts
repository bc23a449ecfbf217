import { operand, print, type Shell } from '../shell.ts';

/** Keeps an artifact from collection. */
export async function pin(shell: Shell, operands: readonly string[]): Promise<void> {
  const reference = operand(operands, 0);
  const digest = await shell.house.artifacts.pin(reference);
  print(shell, { reference, digest }, () => `pinned ${reference} at ${digest}\n`);
}

/** Leaves an artifact to collection again. */
export async function unpin(shell: Shell, operands: readonly string[]): Promise<void> {
  const reference = operand(operands, 0);
  await shell.house.artifacts.unpin(reference);
  print(shell, { reference }, () => `unpinned ${reference}\n`);
}
