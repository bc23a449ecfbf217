import { print } from '../output.ts';
import { operand, type Shell } from '../shell.ts';

/** Keeps an artifact from garbage collection. */
export async function pin(shell: Shell, operands: readonly string[]): Promise<void> {
  const reference = operand(operands, 0);
  const digest = await shell.backend.artifacts.pin(reference);
  const text = (): string => `pinned ${reference} at ${digest}\n`;
  await print(shell, { value: { reference, digest }, text, names: [reference] });
}

/** Allows garbage collection again. */
export async function unpin(shell: Shell, operands: readonly string[]): Promise<void> {
  const reference = operand(operands, 0);
  await shell.backend.artifacts.unpin(reference);
  await print(shell, { value: { reference }, text: () => `unpinned ${reference}\n`, names: [reference] });
}
