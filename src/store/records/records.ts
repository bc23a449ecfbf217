import { hash } from 'node:crypto';
import { existsSync, utimesSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Brief, Root } from '../../ports/records.ts';
import { never } from '../../util/abortable.ts';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import type { JsonObject } from '../../util/json.ts';
import { createRecall } from '../../util/memo.ts';
import { quoteName } from '../../util/name.ts';
import { nextTurn, startPace } from '../../util/pace.ts';
import { unlessAbsent } from '../files/absent.ts';
import { writeAside } from '../files/atomic-file.ts';
import type { Directory } from '../files/directory.ts';
import { attempt } from '../files/failure.ts';
import { type File, parseFields, readHere, readThere, stampOf, writeNew } from '../files/json-record.ts';
import { removeTree, type Scratch } from '../files/scratch.ts';
import type { Unsynced } from '../files/unsynced.ts';

/**
 * One JSON file per record, named by the sha256 of its key. A torn, foreign or misplaced record counts as absent, and
 * so does an unreadable one, with a log message.
 */
export type Records<T> = {
  find(key: string): Promise<T | undefined>;
  put(record: T): Promise<void>;
  /** Waits until a power cut would not take the record. @throws why it could not be written; the signal's reason. */
  settle(key: string, signal: AbortSignal): Promise<void>;
  /** Sets the file's mtime to now. A missing record is success. */
  touch(key: string): Promise<void>;
  /** A missing record is success. */
  remove(key: string): Promise<void>;
  list(): Promise<readonly T[]>;
  /** The same without `holds`. A record is read again only if its file has changed. */
  listBrief(): Promise<readonly Brief<T>[]>;
  /** For callers that need all of them. @throws `internal` naming one that cannot be read. */
  listAll(): Promise<readonly T[]>;
};

/** Receives what is wrong with a file, on each read. */
export type RecordWarning = (text: string) => void;

export type RecordKind<T> = {
  /** For errors: "volume record". */
  readonly noun: string;
  /**
   * Whether a put and a remove wait until they survive a power cut. `replacing`: a put waits only if it replaces a
   * record that would survive one; another is synced soon, with the content that it needs.
   */
  readonly durable: boolean | 'replacing';
  keyOf(record: T): string;
  /**
   * Returns the record, or undefined if a field is missing or wrong. Unknown fields are kept. `time`: the file's mtime,
   * in milliseconds since 1970.
   */
  parse(fields: JsonObject, time: number): T | undefined;
  /** For a record that stores a time in the file's mtime; else that is the time of the put. */
  readonly time?: { of(record: T): number; set(record: T, time: number): T };
};

type Known<T> = { readonly stamp: string; readonly record: T | undefined; readonly length: number };

/** Characters of the records that are remembered: thousands of ordinary ones, or some of artifacts with many layers. */
const mostKept = 1024 * 1024;
/** The files that `list` reads at once: enough to keep a disk busy, too few to fill the thread pool's queue. */
const readAhead = 32;
/** The characters of a record that gets a turn of its own: about 0.3 ms of work, and there may be many such. */
const large = 64 * 1024;

/** Removes the torn ones, with a log message each. */
export async function openRecords<T>(
  directory: Directory,
  scratch: Scratch,
  kind: RecordKind<T>,
  note: RecordWarning,
  unsynced: Pick<Unsynced, 'add' | 'has' | 'forget' | 'settle'>,
): Promise<Records<T>> {
  const fileOf = (key: string): string => hash('sha256', key);
  const about = (doing: string, key: string): string => `${doing} the ${kind.noun} of ${quoteName(key)}`;

  /** By the names of the files, with stamps taken before these were read: a repeated publish parses none. */
  const recent = createRecall<string, Known<T>>(mostKept, mostKept / 4);

  function parse(name: string, { text, time }: File): T | undefined {
    const fields = parseFields(text);
    const record = fields === undefined ? undefined : kind.parse(fields, time);
    return record !== undefined && fileOf(kind.keyOf(record)) === name ? record : undefined;
  }

  function setTime(key: string, time: number): void {
    const name = fileOf(key);
    const path = join(directory.path, name);
    const known = recent.get(name);
    try {
      const isKnown = known !== undefined && known.stamp === stampOf(path);
      utimesSync(path, new Date(time), new Date(time));
      const record = known?.record && kind.time?.set(known.record, time);
      if (isKnown) recent.keep(name, { ...known, stamp: stampOf(path), record }, known.length);
    } catch (thrown) {
      if (errnoOf(thrown) !== 'ENOENT') throw thrown;
    }
  }

  async function find(name: string): Promise<T | undefined> {
    const path = join(directory.path, name);
    const stamp = stampOf(path);
    if (stamp === '') return undefined;
    const known = recent.get(name);
    if (known?.stamp === stamp) return known.record;
    const file = await unlessAbsent(readHere(path));
    const length = file?.text.length ?? 0;
    if (length > large) await nextTurn();
    const record = file && parse(name, file);
    recent.keep(name, { stamp, record, length }, length);
    return record;
  }

  const skip = (path: string, thrown: unknown): void =>
    note(`${path}, a ${kind.noun}, cannot be read (${errnoOf(thrown)}) and is skipped`);

  function refuse(path: string, thrown: unknown): never {
    throw new ArtifactError(
      'internal',
      `${path}, a ${kind.noun}, cannot be read (${errnoOf(thrown)}), so that what it needs is not known; repair the disk, or remove that file and lose the ${kind.noun}`,
      thrown,
    );
  }

  /** Returns the existing records. Foreign files are ignored. */
  async function* readAll(
    onUnreadable: (path: string, thrown: unknown) => void,
    isWanted: (name: string) => boolean = () => true,
  ): AsyncGenerator<readonly [name: string, file: File]> {
    const names = (await directory.list()).filter(name => isOurs(name) && isWanted(name));
    for (let at = 0; at < names.length; at += readAhead) {
      const some = names.slice(at, at + readAhead).map(async name => {
        const path = join(directory.path, name);
        const file = await unlessAbsent(readThere(path)).catch(thrown => onUnreadable(path, thrown));
        return file === undefined ? [] : [[name, file] as const];
      });
      yield* (await Promise.all(some)).flat();
    }
  }

  const list = (onUnreadable: (path: string, thrown: unknown) => void): Promise<readonly T[]> =>
    attempt(`listing ${directory.path}`, async () => {
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

  /** By the names of the files. A stamp is taken before its file is read. */
  let briefs: ReadonlyMap<string, { readonly stamp: string; readonly brief: Brief<T> | undefined }> =
    new Map();

  const listBrief = (): Promise<readonly Brief<T>[]> =>
    attempt(`listing ${directory.path}`, async () => {
      const before = briefs;
      const stamps = new Map<string, string>();
      const now = new Map<string, { readonly stamp: string; readonly brief: Brief<T> | undefined }>();
      const hasChanged = (name: string): boolean => {
        const stamp = stampOf(join(directory.path, name));
        const known = before.get(name);
        stamps.set(name, stamp);
        if (known?.stamp !== stamp) return true;
        now.set(name, known);
        return false;
      };
      const pace = startPace(never);
      for await (const [name, file] of readAll(skip, hasChanged)) {
        const record = parse(name, file);
        now.set(name, { stamp: stamps.get(name) ?? '', brief: record && toBrief(record) });
        const rest = pace();
        if (rest !== undefined) await rest;
      }
      briefs = now;
      return [...now.values()].flatMap(({ brief }) => (brief === undefined ? [] : [brief]));
    });

  // Here, because in threads a start with thousands of them would take ten times that.
  const pace = startPace(never);
  for (const name of scratch.isClosed ? [] : (await directory.list()).filter(isOurs)) {
    const path = join(directory.path, name);
    const file = await readHere(path).catch(() => undefined);
    const rest = pace();
    if (rest !== undefined) await rest;
    if (file === undefined || parse(name, file) !== undefined) continue;
    await rm(path, { force: true });
    note(`${path} was incomplete and is removed; the ${kind.noun} is lost`);
  }

  return {
    // Calls of microseconds are synchronous: through Node's thread pool they would take ten times that.
    async find(key) {
      const name = fileOf(key);
      try {
        return await find(name);
      } catch (thrown) {
        skip(join(directory.path, name), thrown);
        return undefined;
      }
    },
    put: record =>
      attempt(about('writing', kind.keyOf(record)), async () => {
        const path = join(directory.path, fileOf(kind.keyOf(record)));
        const text = JSON.stringify(record);
        const isAwaited =
          kind.durable === 'replacing' ? existsSync(path) && !unsynced.has(path) : kind.durable;
        if (isAwaited || !writeNew(path, text)) await writeAside(scratch.fresh(), path, text, isAwaited);
        if (kind.time !== undefined) setTime(kind.keyOf(record), kind.time.of(record));
        if (isAwaited) await directory.sync();
        else if (kind.durable === 'replacing') unsynced.add(path, [path, directory.path]);
      }),
    settle: (key, signal) =>
      attempt(about('writing', key), () => unsynced.settle([join(directory.path, fileOf(key))], signal)),
    touch: key => attempt(about('touching', key), async () => setTime(key, Date.now())),
    remove: key =>
      attempt(about('removing', key), async () => {
        const path = join(directory.path, fileOf(key));
        unsynced.forget(path);
        await unlessAbsent(removeTree(path, never));
        if (kind.durable !== false) await directory.sync();
      }),
    list: () => list(skip),
    listBrief,
    listAll: () => list(refuse),
  };
}

function toBrief<T>(record: T): Brief<T> {
  const { holds: _, ...brief } = record as T & Partial<Root>;
  return brief;
}

function isOurs(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}
