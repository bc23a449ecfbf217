import { readLayout } from '../layout.ts';
import { operand, print, type Shell } from '../shell.ts';

/** Takes artifacts from an OCI image layout, for nodes that reach no registry. */
export async function load(shell: Shell, operands: readonly string[]): Promise<void> {
  const tar = await readLayout(operand(operands, 0), shell.terminal.stdin, shell.signal);
  const loaded = await shell.house.artifacts.load(tar, operands[1], shell.signal);
  print(shell, loaded, () =>
    loaded.map(({ reference, descriptor }) => `${reference}@${descriptor.digest}\n`).join(''),
  );
}
