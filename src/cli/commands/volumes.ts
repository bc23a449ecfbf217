import { formatSize } from '../../util/size.ts';
import { printable } from '../../util/printable.ts';
import { print, type Shell } from '../shell.ts';
import { formatAge, formatDigest, formatTable } from '../text.ts';

const header = ['POD', 'REFERENCE', 'DIGEST', 'SIZE', 'AGE', 'MOUNTED', 'TARGET'];

/** Which artifact each volume shows, by target path; and below, which of them the signature policy would refuse now or show damaged content. */
export async function volumes(shell: Shell): Promise<void> {
  const found = await shell.house.artifacts.volumes();
  const sorted = found.toSorted((a, b) => (a.targetPath < b.targetPath ? -1 : 1));
  print(
    shell,
    sorted.map(({ fingerprint: _, ...volume }) => volume),
    () =>
      formatTable(
        header,
        sorted.map(volume => [
          volume.pod === undefined ? '-' : `${volume.pod.namespace}/${volume.pod.name}`,
          volume.reference,
          formatDigest(volume.digest),
          formatSize(volume.bytes),
          formatAge(shell.terminal.now() - volume.publishedAt),
          volume.mounted ? 'yes' : 'no',
          volume.targetPath,
        ]),
      ) +
      sorted
        .filter(({ refused }) => refused !== undefined)
        .map(({ targetPath, refused }) => `${printable(`${targetPath} would be refused now: ${refused}`)}\n`)
        .join('') +
      sorted
        .filter(({ damaged }) => damaged !== undefined)
        .map(({ targetPath, damaged }) => `${printable(`${targetPath} shows damaged content: ${damaged}`)}\n`)
        .join(''),
  );
}
