import { formatSize } from '../../util/size.ts';
import { print } from '../output.ts';
import { openProgress } from '../progress.ts';
import { toDigested, toReference } from '../reference.ts';
import { toSecrets } from '../secrets.ts';
import { type Options, operand, type Shell } from '../shell.ts';
import { formatFields } from '../text.ts';

/** Resolves a reference by its registry, and downloads nothing. */
export async function resolve(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const { backend, terminal, signal } = shell;
  const asked = await toReference(operand(operands, 0), backend);
  using view = openProgress(terminal.stderr, shell.output);
  const found = await backend.artifacts.resolve(asked, secrets, signal, progress => view.update(progress));
  const { reference, descriptor, cached } = found;
  await print(shell, {
    value: found,
    names: [toDigested({ reference, digest: descriptor.digest })],
    text: () =>
      formatFields([
        ['reference', reference],
        ['digest', descriptor.digest],
        ['media type', descriptor.mediaType],
        ['size', formatSize(descriptor.size)],
        ['cached', cached ? 'yes' : 'no'],
      ]),
  });
}
