import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessAbsent } from './absent.ts';
import { writeAside } from './atomic-file.ts';
import { attempt } from './failure.ts';
import type { Folder } from './folder.ts';
import { type Fields, parseFields } from './json-record.ts';
import type { Scratch } from './scratch.ts';

/** One JSON file per record, named by the sha256 of its key. A torn, foreign or misplaced one counts as absent. */
export type Records<T> = {
  find(key: string): Promise<T | undefined>;
  put(record: T): Promise<void>;
  /** One that is not there is success. */
  remove(key: string): Promise<void>;
  list(): Promise<readonly T[]>;
};

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

export function openRecords<T>(folder: Folder, scratch: Scratch, kind: RecordKind<T>): Records<T> {
  const fileOf = (key: string): string => createHash('sha256').update(key).digest('hex');
  const about = (doing: string, key: string): string => `${doing} the ${kind.noun} of "${key}"`;

  async function read(file: string, reading: Promise<string>): Promise<T | undefined> {
    const text = await unlessAbsent(reading);
    const fields = text === undefined ? undefined : parseFields(text);
    const record = fields === undefined ? undefined : kind.parse(fields);
    return record !== undefined && fileOf(kind.keyOf(record)) === file ? record : undefined;
  }

  return {
    // What takes microseconds is not given to Node's threads, which would take ten times that.
    find: key =>
      attempt(about('reading', key), async () => {
        const file = fileOf(key);
        return read(file, readHere(join(folder.path, file)));
      }),
    put: record =>
      attempt(about('writing', kind.keyOf(record)), async () => {
        const path = join(folder.path, fileOf(kind.keyOf(record)));
        await writeAside(scratch.fresh(), path, JSON.stringify(record), kind.durable);
        if (kind.durable) await folder.sync();
      }),
    remove: key =>
      attempt(about('removing', key), async () => {
        await rm(join(folder.path, fileOf(key)), { force: true });
        if (kind.durable) await folder.sync();
      }),
    list: () =>
      attempt(`listing ${folder.path}`, async () => {
        const files = await readdir(folder.path);
        const records: T[] = [];
        for (let at = 0; at < files.length; at += readAhead) {
          const some = await Promise.all(
            files
              .slice(at, at + readAhead)
              .map(file => read(file, readFile(join(folder.path, file), 'utf8'))),
          );
          records.push(...some.filter(record => record !== undefined));
        }
        return records;
      }),
  };
}

async function readHere(path: string): Promise<string> {
  return readFileSync(path, 'utf8');
}
