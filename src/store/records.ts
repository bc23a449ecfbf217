import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { unlessAbsent } from './absent.ts';
import { writeAside } from './atomic-file.ts';
import { attempt } from './failure.ts';
import type { Folder } from './folder.ts';
import { type Fields, parseFields } from './json-record.ts';
import type { Scratch } from './scratch.ts';

/**
 * One JSON file per record, named by the sha256 of its key. A torn, foreign or misplaced one counts as absent, and so does
 * one that cannot be read, with a note.
 */
export type Records<T> = {
  find(key: string): Promise<T | undefined>;
  put(record: T): Promise<void>;
  /** One that is not there is success. */
  remove(key: string): Promise<void>;
  list(): Promise<readonly T[]>;
  /** For who must know them all. @throws `internal` naming one that cannot be read. */
  listAll(): Promise<readonly T[]>;
};

/** Hears what was wrong with a file; of a file that stays so, each time. */
export type Note = (text: string) => void;

export type RecordKind<T> = {
  /** For errors: "volume record". */
  readonly noun: string;
  /** Whether a put and a remove wait until they outlive a power cut. */
  readonly durable: boolean;
  keyOf(record: T): string;
  /** The record, or undefined if a field is absent or wrong. Fields it does not know are kept. */
  parse(fields: Fields): T | undefined;
};

/** Files read at once by `list`: enough to keep a disk busy, too few to fill the thread pool's queue. */
const readAhead = 32;

/** Takes away the torn ones, with a note each. */
export async function openRecords<T>(
  folder: Folder,
  scratch: Scratch,
  kind: RecordKind<T>,
  note: Note,
): Promise<Records<T>> {
  const fileOf = (key: string): string => createHash('sha256').update(key).digest('hex');
  const about = (doing: string, key: string): string => `${doing} the ${kind.noun} of "${key}"`;

  function parse(file: string, text: string): T | undefined {
    const fields = parseFields(text);
    const record = fields === undefined ? undefined : kind.parse(fields);
    return record !== undefined && fileOf(kind.keyOf(record)) === file ? record : undefined;
  }

  const passOver = (path: string, thrown: unknown): void =>
    note(`${path}, a ${kind.noun}, cannot be read (${errnoOf(thrown)}) and is passed over`);

  function refuse(path: string, thrown: unknown): never {
    throw new ArtifactError(
      'internal',
      `${path}, a ${kind.noun}, cannot be read (${errnoOf(thrown)}), so that nobody knows what it holds: mend the disk, or remove that file, and the ${kind.noun} is lost`,
      thrown,
    );
  }

  /** Those that are there, and of each its text. What others have put there is theirs. */
  async function* readAll(
    onUnreadable: (path: string, thrown: unknown) => void,
  ): AsyncGenerator<readonly [file: string, text: string]> {
    const files = (await folder.list()).filter(isOurs);
    for (let at = 0; at < files.length; at += readAhead) {
      const some = files.slice(at, at + readAhead).map(async file => {
        const path = join(folder.path, file);
        const text = await unlessAbsent(readFile(path, 'utf8')).catch(thrown => onUnreadable(path, thrown));
        return text === undefined ? [] : [[file, text] as const];
      });
      yield* (await Promise.all(some)).flat();
    }
  }

  const list = (onUnreadable: (path: string, thrown: unknown) => void): Promise<readonly T[]> =>
    attempt(`listing ${folder.path}`, async () => {
      const records: T[] = [];
      for await (const [file, text] of readAll(onUnreadable)) {
        const record = parse(file, text);
        if (record !== undefined) records.push(record);
      }
      return records;
    });

  for await (const [file, text] of readAll(() => {})) {
    if (scratch.isClosed || parse(file, text) !== undefined) continue;
    await rm(join(folder.path, file), { force: true });
    note(`${join(folder.path, file)} was torn and is removed: that ${kind.noun} is lost`);
  }

  return {
    // What takes microseconds is not given to Node's threads, which would take ten times that.
    async find(key) {
      const file = fileOf(key);
      const path = join(folder.path, file);
      const text = await unlessAbsent(readHere(path)).catch(thrown => passOver(path, thrown));
      return text === undefined ? undefined : parse(file, text);
    },
    put: record =>
      attempt(about('writing', kind.keyOf(record)), async () => {
        const path = join(folder.path, fileOf(kind.keyOf(record)));
        await writeAside(scratch.fresh(), path, JSON.stringify(record), kind.durable);
        if (kind.durable) await folder.sync();
      }),
    remove: key =>
      attempt(about('removing', key), async () => {
        await rm(join(folder.path, fileOf(key)), { force: true, recursive: true });
        if (kind.durable) await folder.sync();
      }),
    list: () => list(passOver),
    listAll: () => list(refuse),
  };
}

async function readHere(path: string): Promise<string> {
  return readFileSync(path, 'utf8');
}

function isOurs(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}
