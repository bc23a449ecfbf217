import { hash } from 'node:crypto';
import { accessSync, constants, readdirSync, readFileSync, statSync } from 'node:fs';
import type { Logger } from 'pino';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';

/**
 * One reading of files. It returns the same result however often a file is requested.
 *
 * It is synchronous: callers that need a route or a verdict must not wait, and these are a few small local files, read
 * when they change.
 */
export type Reading = {
  /**
   * Returns a file's text; undefined if it does not exist.
   *
   * @throws ArtifactError `internal` naming a file that cannot be read. The same below.
   */
  text(file: string): string | undefined;
  /** Returns the sorted names in a directory; undefined if it does not exist. */
  names(directory: string): readonly string[] | undefined;
  isDirectory(path: string): boolean;
  isProgram(path: string): boolean;
};

/**
 * Called with each problem of a file, as `error`, and with each further message, once until it is gone; and, as `info`,
 * with a change that leaves no problem.
 */
export type Note = (text: string, level?: 'info' | 'warn' | 'error') => void;

export function toNote(log: Pick<Logger, 'info' | 'warn' | 'error'>): Note {
  return (text, level = 'warn') => log[level](text);
}

/** How files become a value. */
export type Watched<Content> = {
  /** The name of the files in a log message. */
  readonly what: string;
  /** Only reads: its result is dropped if the files have the same content as before. */
  readonly read: (reading: Reading, before: Content | undefined) => Content;
  readonly problemsOf: (content: Content) => readonly string[];
  /** Further messages for the log. */
  readonly notesOf?: (content: Content) => readonly string[];
  readonly note: Note;
  /** Milliseconds between two checks of the files. Default: a check at each use. */
  readonly lookEveryMs?: number;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
};

/**
 * Returns a function that returns the value of the present files: the same object while their content is the same. Each
 * use checks by stat (a few µs per file) whether a file has changed, appeared or disappeared, and reads all of them
 * again if so.
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
    if (isChange && problems.length === 0) note(`${what} has changed and was read again`, 'info');
    const notes = notesOf(content);
    for (const problem of problems) if (!told.includes(problem)) note(problem, 'error');
    for (const line of notes) if (!told.includes(line)) note(line);
    told = [...problems, ...notes];
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

/**
 * Returns the text of a file that the caller's messages name.
 *
 * @throws ArtifactError `invalid` saying why there is none.
 */
export function readNamed(file: string, reading: Reading): string {
  let text: string | undefined;
  try {
    text = reading.text(file);
  } catch (thrown) {
    const { cause } = toArtifactError(thrown);
    throw new ArtifactError('invalid', `it cannot be read (${errnoOf(cause) ?? String(cause)})`, thrown);
  }
  if (text !== undefined) return text;
  throw new ArtifactError(
    'invalid',
    "it does not exist; correct the path, or mount it into the driver's container",
  );
}

/** The results of a reading so far. */
export type ReadingResult = {
  /** Equal for readings with the same results. */
  contents(): string;
  /** Whether another reading might find something else. */
  changed(): boolean;
};

export function startReading(): Reading & ReadingResult {
  const stamps = new Map<string, string | undefined>();
  const found: unknown[] = [];

  function read<T>(path: string, from: (path: string) => T): T | undefined {
    // Before the content is read, so that a change in the meantime shows at the next check.
    if (!stamps.has(path)) stamps.set(path, stampOf(path));
    try {
      return from(path);
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === 'ENOENT') return undefined;
      stamps.set(path, undefined); // the reason of an error may go away without a trace on the file
      throw new ArtifactError('internal', `${path} cannot be read (${errno ?? String(thrown)})`, thrown);
    }
  }

  /** Each path once: everything made of a reading has the same contents. */
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

  const isDirectory = once(path => statSync(path).isDirectory());
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
    isDirectory: path => isDirectory(path) ?? false,
    isProgram: path => isProgram(path) ?? false,
    contents: () => hash('sha256', JSON.stringify(found)),
    changed: () => stamps.entries().some(([path, stamp]) => stamp === undefined || stampOf(path) !== stamp),
  };
}

/**
 * Identifies a version of a file. It follows links, so a new version of a ConfigMap is another inode. A file that is
 * written in place with equal size and mtime has another ctime. A file that has just changed can change again within
 * the same tick of the filesystem's clock: until it has settled it has no stamp.
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

/** Milliseconds: longer than a tick of any filesystem's clock. */
const settledAfterMs = 100;

/**
 * A part of the configuration, from some files. `kept`: the files are wrong now, and the last good version is in use.
 * `broken`: they have been wrong since the start, and whatever needs them is refused.
 */
export type Part<T> =
  | { readonly kind: 'right'; readonly value: T }
  | { readonly kind: 'kept'; readonly value: T; readonly problem: string }
  | { readonly kind: 'broken'; readonly problem: string };

export function readPart<T>(read: () => T, before: Part<T> | undefined): Part<T> {
  try {
    return { kind: 'right', value: read() };
  } catch (thrown) {
    const why = toArtifactError(thrown).message;
    if (before === undefined || before.kind === 'broken') {
      return { kind: 'broken', problem: `${why}; until the file is corrected, what needs it is refused` };
    }
    const problem = `${why}; until the file is corrected, its last valid version stays in use`;
    return { kind: 'kept', value: before.value, problem };
  }
}

/** @throws ArtifactError `unavailable` with the problem if the part is broken. */
export function valueOf<T>(part: Part<T>): T {
  if (part.kind !== 'broken') return part.value;
  throw new ArtifactError('unavailable', part.problem);
}

/** Returns the present or last good version; undefined before there was one. */
export function lastGood<T>(part: Part<T> | undefined): T | undefined {
  return part === undefined || part.kind === 'broken' ? undefined : part.value;
}

/** Returns what is wrong with the files now. */
export function problemsOf(...parts: readonly Part<unknown>[]): readonly string[] {
  return parts.flatMap(part => (part.kind === 'right' ? [] : [part.problem]));
}

/** Returns the problems that cause refusals. */
export function obstaclesOf(...parts: readonly Part<unknown>[]): readonly string[] {
  return problemsOf(...parts.filter(part => part.kind === 'broken'));
}
