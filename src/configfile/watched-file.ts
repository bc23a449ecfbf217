import { hash } from 'node:crypto';
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import { ArtifactError, errnoOf } from '../util/error.ts';

/**
 * One reading of files. It finds the same however often one of them is asked for.
 *
 * Synchronous: whoever asks for a route or for a verdict must not wait, and these are a few small local files, read when
 * they change.
 */
export type Reading = {
  /** A file's text; undefined where there is none. @throws ArtifactError `internal` naming what cannot be read; so below. */
  text(file: string): string | undefined;
  /** The names in a folder, sorted; undefined where there is none. */
  names(folder: string): readonly string[] | undefined;
  isFolder(path: string): boolean;
  isProgram(path: string): boolean;
};

/** What comes of files. */
export type Watched<Content> = {
  /** What they are called in a line of the log. */
  readonly what: string;
  /** Only reads: what it answers is dropped if the files say what they said before. */
  readonly read: (reading: Reading, before: Content | undefined) => Content;
  readonly problemsOf: (content: Content) => readonly string[];
  /** Further lines for the log. */
  readonly notesOf?: (content: Content) => readonly string[];
  /** Is told each problem and note once, until it is gone; and of a change that leaves no problem. */
  readonly note: (text: string) => void;
  /** How often the files are looked at; at each use, if nothing is said. */
  readonly lookEveryMs?: number;
  /** Milliseconds of any clock that never goes back. */
  readonly now?: () => number;
};

/**
 * Answers with the content of files as they are now; the same object as long as they say the same. Each use asks stat
 * (some µs a file) whether a file that was read has changed, come or gone, and reads all of them again if so.
 */
export function watchFiles<Content>(watched: Watched<Content>): () => Content {
  const { what, read, problemsOf, notesOf = () => [], note } = watched;
  const { lookEveryMs = 0, now = () => performance.now() } = watched;
  type Held = { readonly finding: ReadingResult; readonly contents: string; readonly content: Content };
  let held: Held | undefined;
  let lookedAt = 0;
  let told: readonly string[] = [];

  const tell = (content: Content, isChange: boolean): void => {
    const problems = problemsOf(content);
    if (isChange && problems.length === 0) note(`${what} has changed and was read again`);
    const lines = [...problems, ...notesOf(content)];
    lines.filter(line => !told.includes(line)).forEach(note);
    told = lines;
  };

  return () => {
    const before = held;
    const at = now();
    if (before !== undefined && at - lookedAt < lookEveryMs) return before.content;
    lookedAt = at;
    if (before?.finding.changed() === false) return before.content;
    const finding = startReading();
    const content = read(finding, before?.content);
    const contents = finding.contents();
    if (before?.contents === contents) {
      held = { ...before, finding };
      return before.content;
    }
    held = { finding, contents, content };
    tell(content, before !== undefined);
    return content;
  };
}

/** What a reading found so far. */
export type ReadingResult = {
  /** Equal for readings that found the same. */
  contents(): string;
  /** Whether reading again might find something else. */
  changed(): boolean;
};

export function startReading(): Reading & ReadingResult {
  const stamps = new Map<string, string | undefined>();
  const found: unknown[] = [];

  function read<T>(path: string, from: (path: string) => T): T | undefined {
    // Before all that is read of it, so that a change meanwhile is seen at the next look.
    if (!stamps.has(path)) stamps.set(path, stampOf(path));
    try {
      return from(path);
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === 'ENOENT') return undefined;
      stamps.set(path, undefined); // why it cannot be read may pass without a trace on it
      throw new ArtifactError('internal', `${path} cannot be read (${errno ?? String(thrown)})`, thrown);
    }
  }

  /** Each path once: all that comes of a reading is of the same contents. */
  function once<T>(from: (path: string) => T): (path: string) => T | undefined {
    const known = new Map<string, () => T | undefined>();
    const ask = (path: string): (() => T | undefined) => {
      try {
        const value = read(path, from);
        found.push([path, value]);
        return () => value;
      } catch (thrown) {
        found.push([path, String(thrown)]);
        return () => {
          throw thrown;
        };
      }
    };
    return path => {
      const answer = known.get(path) ?? ask(path);
      known.set(path, answer);
      return answer();
    };
  }

  const isFolder = once(path => statSync(path).isDirectory());
  const isProgram = once(path => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch (thrown) {
      if (errnoOf(thrown) === 'EACCES') return false;
      throw thrown;
    }
  });
  return {
    text: once(path => readFileSync(path, 'utf8')),
    names: once(path => readdirSync(path).toSorted()),
    isFolder: path => isFolder(path) ?? false,
    isProgram: path => isProgram(path) ?? false,
    contents: () => hash('sha256', JSON.stringify(found)),
    changed: () => stamps.entries().some(([path, stamp]) => stamp === undefined || stampOf(path) !== stamp),
  };
}

/**
 * Tells one version of a file from the next. It follows links, so that a new version of a ConfigMap is another inode; a
 * file that is written in place with equal size and time has another time of change. One that changed just now can change
 * again at the same time, as filesystems count it: until it has settled it has no stamp.
 */
function stampOf(path: string): string | undefined {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = statSync(path, { bigint: true });
    if (Date.now() - Number(ctimeMs) < settledAfterMs) return undefined;
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (thrown) {
    return errnoOf(thrown) ?? 'unknown';
  }
}

/** Longer than a tick of any filesystem's clock. */
const settledAfterMs = 100;
