import { formatSize } from '../../util/size.ts';
import { toSecrets } from '../secrets.ts';
import { operand, type Options, print, type Shell } from '../shell.ts';
import { formatFields } from '../text.ts';

/** Asks the registry what a reference names, and downloads nothing. */
export async function resolve(shell: Shell, operands: readonly string[], options: Options): Promise<void> {
  const secrets = await toSecrets(options, shell.terminal.stdin);
  const found = await shell.house.artifacts.resolve(operand(operands, 0), secrets, shell.signal);
  const { reference, descriptor, cached } = found;
  print(shell, {
    value: found,
    names: [`${reference}@${descriptor.digest}`],
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
