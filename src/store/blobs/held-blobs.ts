import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import type { Held } from '../../ports/store.ts';
import { startPace } from '../../util/pace.ts';
import type { DigestDirectories } from '../files/directory.ts';
import { digestOf, type Partials } from './ingest.ts';

const never = new AbortController().signal;

/** Lists the blobs, and the partial downloads of a directory. */
export async function listHeld(
  directories: DigestDirectories,
  ingestDirectory: string,
  partials: Pick<Partials, 'list'>,
): Promise<readonly Held[]> {
  const held: Held[] = [];
  const pace = startPace(never);
  const files = [
    ...(await directories.list()).map(digest => [digest, directories.path(digest)] as const),
    ...partials.list().map(name => [digestOf(name), join(ingestDirectory, name)] as const),
  ];
  for (const [digest, file] of files) {
    if (digest === undefined) continue;
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats !== undefined) {
      // A partial file may have holes.
      const most = file.startsWith(ingestDirectory) ? stats.blocks * 512 : stats.size;
      held.push({ digest, bytes: Math.min(stats.size, most), inodes: 1, since: stats.mtimeMs });
    }
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return held;
}
