import { formatSize } from '../../util/size.ts';
import { formatAge, formatDigest } from '../../util/words.ts';
import { print, toTimestamp } from '../output.ts';
import type { Shell } from '../shell.ts';
import { formatTable, type TableHeader } from '../table.ts';

const header: TableHeader = {
  REFERENCE: 'key',
  DIGEST: 'digest',
  TYPE: 'spare',
  SIZE: 'fixed',
  'LAST USED': 'spare',
  VOLUMES: 'fixed',
  PINNED: 'fixed',
};

/** Lists the artifacts of the cache, by reference. */
export async function ls(shell: Shell): Promise<void> {
  const found = await shell.backend.artifacts.list();
  const sorted = found.toSorted((a, b) => compare(a.reference, b.reference) || compare(a.digest, b.digest));
  await print(shell, {
    value: sorted.map(({ usedAt, verifiedAt, ...artifact }) => ({
      ...artifact,
      usedAt: toTimestamp(usedAt),
      verifiedAt: toTimestamp(verifiedAt),
    })),
    names: sorted.map(({ reference }) => reference),
    text: () =>
      formatTable(
        header,
        sorted.map(artifact => [
          artifact.reference,
          formatDigest(artifact.digest, shell.whole),
          artifact.artifactType || '-',
          formatSize(artifact.bytes),
          artifact.usedAt === 0 ? 'never' : formatAge(shell.terminal.now() - artifact.usedAt),
          String(artifact.volumes),
          artifact.pinned ? 'yes' : '',
        ]),
        shell.columns,
      ),
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
