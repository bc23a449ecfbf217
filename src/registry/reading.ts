import { hash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { stampOf } from '../util/file-stamp.ts';

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
  /** Equal for readings that found the same. */
  contents(): string;
};

export function startReading(): Reading {
  const stamps = new Map<string, string>();
  const found = new Map<string, unknown>();

  /** The look comes first: a change between it and the reading is then seen at the next look. */
  function read<T>(path: string, from: (path: string) => T): T | undefined {
    stamps.set(path, stampOf(path));
    try {
      const value = from(path);
      found.set(path, value);
      return value;
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
    contents: () => hash('sha256', JSON.stringify([...found])),
    changed: () => stamps.entries().some(([path, stamp]) => stampOf(path) !== stamp),
  };
}
