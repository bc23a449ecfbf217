import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { nextTurn, startPace } from '../../util/pace.ts';
import { unlessAbsent } from '../files/absent.ts';
import { writeAside } from '../files/atomic-file.ts';
import { attempt } from '../files/failure.ts';
import type { Folder } from '../files/folder.ts';
import { type Fields, parseFields } from '../files/json-record.ts';
import type { Scratch } from '../files/scratch.ts';
import { removeTree } from '../files/tree-removal.ts';

/**
 * One JSON file per record, named by the sha256 of its key. A torn, foreign or misplaced one counts as absent, and so does
 * one that cannot be read, with a note.
 */
export type Records<T> = {
  find(key: string): Promise<T | undefined>;
  put(record: T): Promise<void>;
  /** Sets the file's time to now. A record that is not there is success. */
  touch(key: string): Promise<void>;
  /** One that is not there is success. */
  remove(key: string): Promise<void>;
  list(): Promise<readonly T[]>;
  /** For who must know them all. @throws `internal` naming one that cannot be read. */
  listAll(): Promise<readonly T[]>;
};

/** Hears what was wrong with a file; of a file that stays so, each time. */
export type RecordWarning = (text: string) => void;

export type RecordKind<T> = {
  /** For errors: "volume record". */
  readonly noun: string;
  /** Whether a put and a remove wait until they outlive a power cut. */
  readonly durable: boolean;
  keyOf(record: T): string;
  /**
   * The record, or undefined if a field is absent or wrong. Fields it does not know are kept. `time`: of the file, in
   * milliseconds since 1970.
   */
  parse(fields: Fields, time: number): T | undefined;
  /** The time that a put gives the file, for a record that keeps a time there; else it is that of the put. */
  timeOf?(record: T): number;
};

type File = { readonly text: string; readonly time: number };

/** Files read at once by `list`: enough to keep a disk busy, too few to fill the thread pool's queue. */
const readAhead = 32;
/** Characters of a record that takes a turn of its own: some 0.3 ms of work, and there may be many such at once. */
const large = 64 * 1024;
const never = new AbortController().signal;

/** Takes away the torn ones, with a note each. */
export async function openRecords<T>(
  folder: Folder,
  scratch: Scratch,
  kind: RecordKind<T>,
  note: RecordWarning,
): Promise<Records<T>> {
  const fileOf = (key: string): string => createHash('sha256').update(key).digest('hex');
  const about = (doing: string, key: string): string => `${doing} the ${kind.noun} of "${key}"`;

  function parse(name: string, { text, time }: File): T | undefined {
    const fields = parseFields(text);
    const record = fields === undefined ? undefined : kind.parse(fields, time);
    return record !== undefined && fileOf(kind.keyOf(record)) === name ? record : undefined;
  }

  function setTime(key: string, time: Date): void {
    try {
      utimesSync(join(folder.path, fileOf(key)), time, time);
    } catch (thrown) {
      if (errnoOf(thrown) !== 'ENOENT') throw thrown;
    }
  }

  const passOver = (path: string, thrown: unknown): void =>
    note(`${path}, a ${kind.noun}, cannot be read (${errnoOf(thrown)}) and is passed over`);

  function refuse(path: string, thrown: unknown): never {
    throw new ArtifactError(
      'internal',
      `${path}, a ${kind.noun}, cannot be read (${errnoOf(thrown)}), so that what it needs is not known; repair the disk, or remove that file and lose the ${kind.noun}`,
      thrown,
    );
  }

  /** Those that are there. What others have put there is theirs. */
  async function* readAll(
    onUnreadable: (path: string, thrown: unknown) => void,
  ): AsyncGenerator<readonly [name: string, file: File]> {
    const names = (await folder.list()).filter(isOurs);
    for (let at = 0; at < names.length; at += readAhead) {
      const some = names.slice(at, at + readAhead).map(async name => {
        const path = join(folder.path, name);
        const file = await unlessAbsent(readThere(path)).catch(thrown => onUnreadable(path, thrown));
        return file === undefined ? [] : [[name, file] as const];
      });
      yield* (await Promise.all(some)).flat();
    }
  }

  const list = (onUnreadable: (path: string, thrown: unknown) => void): Promise<readonly T[]> =>
    attempt(`listing ${folder.path}`, async () => {
      const records: T[] = [];
      const pace = startPace(never);
      for await (const [name, file] of readAll(onUnreadable)) {
        const record = parse(name, file);
        if (record !== undefined) records.push(record);
        const rest = pace();
        if (rest !== undefined) await rest;
      }
      return records;
    });

  for await (const [name, file] of readAll(() => {})) {
    if (scratch.isClosed || parse(name, file) !== undefined) continue;
    await rm(join(folder.path, name), { force: true });
    note(`${join(folder.path, name)} was incomplete and is removed; the ${kind.noun} is lost`);
  }

  return {
    // What takes microseconds is not given to Node's threads, which would take ten times that.
    async find(key) {
      const name = fileOf(key);
      const path = join(folder.path, name);
      const file = await unlessAbsent(readHere(path)).catch(thrown => passOver(path, thrown));
      if (file !== undefined && file.text.length > large) await nextTurn();
      return file === undefined ? undefined : parse(name, file);
    },
    put: record =>
      attempt(about('writing', kind.keyOf(record)), async () => {
        const path = join(folder.path, fileOf(kind.keyOf(record)));
        await writeAside(scratch.fresh(), path, JSON.stringify(record), kind.durable);
        if (kind.timeOf !== undefined) setTime(kind.keyOf(record), new Date(kind.timeOf(record)));
        if (kind.durable) await folder.sync();
      }),
    touch: key => attempt(about('touching', key), async () => setTime(key, new Date())),
    remove: key =>
      attempt(about('removing', key), async () => {
        await unlessAbsent(removeTree(join(folder.path, fileOf(key)), never));
        if (kind.durable) await folder.sync();
      }),
    list: () => list(passOver),
    listAll: () => list(refuse),
  };
}

async function readHere(path: string): Promise<File> {
  const fd = openSync(path, 'r');
  try {
    return { time: Math.round(fstatSync(fd).mtimeMs), text: readFileSync(fd, 'utf8') };
  } finally {
    closeSync(fd);
  }
}

/** The text by a thread, since the disk may be slow; the time is in memory then. */
async function readThere(path: string): Promise<File> {
  const text = await readFile(path, 'utf8');
  return { time: Math.round(statSync(path).mtimeMs), text };
}

function isOurs(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}
