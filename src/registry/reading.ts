import { readdirSync, readFileSync, statSync } from 'node:fs';
import { ArtifactError, errnoOf } from '../util/error.ts';

/**
 * One reading of configuration files. It knows what each file and folder looked like before it was read, absent ones
 * too, so that `changed` can tell whether reading again would find something else: it costs about 4 µs a file.
 *
 * Synchronous, since whoever asks for a route must not wait, and these are a few small local files, read when they
 * change.
 */
export type Reading = {
  /** A file's text; undefined where there is none. @throws ArtifactError `internal` naming what cannot be read; so below. */
  text(file: string): string | undefined;
  /** The names in a folder, sorted; undefined where there is none. */
  names(folder: string): readonly string[] | undefined;
  isFolder(path: string): boolean;
  changed(): boolean;
};

export function startReading(): Reading {
  const stamps = new Map<string, string>();

  /** The look comes first: a change between it and the reading is then seen at the next look. */
  function read<T>(path: string, from: (path: string) => T): T | undefined {
    stamps.set(path, stampOf(path));
    try {
      return from(path);
    } catch (thrown) {
      if (errnoOf(thrown) === 'ENOENT') return undefined;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new ArtifactError(
        'internal',
        `the registry configuration ${path} cannot be read: ${why}`,
        thrown,
      );
    }
  }

  return {
    text: file => read(file, path => readFileSync(path, 'utf8')),
    names: folder => read(folder, path => readdirSync(path).toSorted()),
    isFolder: path => read(path, () => statSync(path).isDirectory()) ?? false,
    changed: () => stamps.entries().some(([path, stamp]) => stampOf(path) !== stamp),
  };
}

/** Follows links, so that a ConfigMap's new version is another inode. */
function stampOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (thrown) {
    return errnoOf(thrown) ?? 'unknown';
  }
}
