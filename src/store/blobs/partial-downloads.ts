import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';

/** Milliseconds after which nobody is expected to resume a download. */
const idle = 24 * 60 * 60 * 1000;

/** Takes away the partial downloads that nobody has written to for a day, but for those that are gone on with. */
export async function retirePartials(
  folder: string,
  isOpen: (name: string) => boolean,
  takeAway: (path: string) => Promise<void>,
): Promise<void> {
  const oldest = Date.now() - idle;
  for (const name of readdirSync(folder)) {
    if (isOpen(name)) continue;
    const path = join(folder, name);
    // One that ended meanwhile is not there any more.
    const status = lstatSync(path, { throwIfNoEntry: false });
    if (status !== undefined && status.mtimeMs < oldest) await takeAway(path);
  }
}

/** Which partial downloads there may be of a digest, so that removing many digests does not read the folder for each. */
export type Partials = {
  /** Reads the folder. */
  list(): readonly string[];
  /** Notes one that is being made. */
  add(name: string): void;
  /** Some of them may be gone by now. */
  namesOf(digest: Digest): readonly string[];
};

export function openPartials(folder: string, digestOf: (name: string) => Digest | undefined): Partials {
  let names: Map<Digest, Set<string>> | undefined;
  const note = (known: Map<Digest, Set<string>>, name: string): void => {
    const digest = digestOf(name);
    if (digest !== undefined) known.set(digest, (known.get(digest) ?? new Set()).add(name));
  };
  const list = (): readonly string[] => {
    // Where the state directory is only read, it may be absent.
    const found = existsSync(folder) ? readdirSync(folder) : [];
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
