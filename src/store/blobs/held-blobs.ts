import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { Held } from '../../ports/store.ts';
import { never } from '../../util/abortable.ts';
import { startPace } from '../../util/pace.ts';
import type { DigestDirectories } from '../files/directory.ts';
import { digestOf } from './ingest.ts';

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

/**
 * The possible partial downloads of a digest, in memory: removing many digests does not read the directory each time.
 */
export type Partials = {
  /** Reads the directory. */
  list(): readonly string[];
  /** Records a new one, and returns its name. */
  add(name: string): string;
  /** Some of them may no longer exist. */
  namesOf(digest: Digest): readonly string[];
};

export function openPartials(directory: string): Partials {
  let names: Map<Digest, Set<string>> | undefined;
  const note = (known: Map<Digest, Set<string>>, name: string): void => {
    const digest = digestOf(name);
    if (digest !== undefined) known.set(digest, (known.get(digest) ?? new Set()).add(name));
  };
  const list = (): readonly string[] => {
    // In a read-only state directory, it may be absent.
    const found = existsSync(directory) ? readdirSync(directory) : [];
    names = new Map();
    for (const name of found) note(names, name);
    return found;
  };
  return {
    list,
    add(name) {
      if (names !== undefined) note(names, name);
      return name;
    },
    namesOf(digest) {
      if (names === undefined) list();
      return [...(names?.get(digest) ?? [])];
    },
  };
}
