import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';

/** Milliseconds after which a partial download is abandoned. */
const idle = 24 * 60 * 60 * 1000;

/** Removes the partial downloads without writes for a day, except those that are open. */
export async function retirePartials(
  directory: string,
  isOpen: (name: string) => boolean,
  takeAway: (path: string) => Promise<void>,
): Promise<void> {
  const oldest = Date.now() - idle;
  for (const name of readdirSync(directory)) {
    if (isOpen(name)) continue;
    const path = join(directory, name);
    // The file may have ended in the meantime.
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status !== undefined && status.mtimeMs < oldest) await takeAway(path);
  }
}

/**
 * The possible partial downloads of a digest, in memory: removing many digests does not read the directory each time.
 */
export type Partials = {
  /** Reads the directory. */
  list(): readonly string[];
  /** Records a new one. */
  add(name: string): void;
  /** Some of them may no longer exist. */
  namesOf(digest: Digest): readonly string[];
};

export function openPartials(directory: string, digestOf: (name: string) => Digest | undefined): Partials {
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
    },
    namesOf(digest) {
      if (names === undefined) list();
      return [...(names?.get(digest) ?? [])];
    },
  };
}
