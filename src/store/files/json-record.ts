import { closeSync, fstatSync, readFileSync, rmSync, type Stats, statSync, writeFileSync } from 'node:fs';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { errnoOf } from '../../util/error.ts';
import { isObject, type JsonObject } from '../../util/json.ts';
import { openRegular } from '../../util/regular-file.ts';
import { openHandle } from './directory.ts';

/** Returns the fields of a JSON object, or undefined for anything torn or foreign. */
export function parseFields(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export type Guard<T> = (value: unknown) => value is T;

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

export function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

/** A size, a count, or milliseconds since 1970. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

export function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

export function isDigestText(value: unknown): value is Digest {
  return isText(value) && isDigest(value);
}

export function isDigestList(value: unknown): value is Digest[] {
  return Array.isArray(value) && value.every(isDigestText);
}

export function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText);
}

export function isTextMap(value: unknown): value is Record<string, string> {
  return isObject(value) && Object.values(value).every(isText);
}

export function isOneOf<const T extends string>(...texts: readonly T[]): Guard<T> {
  return (value): value is T => texts.some(text => text === value);
}

/** Whether an optional field is absent or valid. */
export function isAbsentOr<T>(is: Guard<T>): Guard<T | undefined> {
  return (value): value is T | undefined => value === undefined || is(value);
}

/** A guard for each field. Only an optional field may be absent. */
export type Guards<T> = {
  readonly [Key in keyof T]-?: Guard<object extends Pick<T, Key> ? T[Key] | undefined : T[Key]>;
};

/** Whether a value is an object with these fields, all valid. Others may be there too. */
export function isShaped<T>(guards: Guards<T>): Guard<T> {
  const each = Object.entries<Guard<unknown>>(guards);
  return (value): value is T => isObject(value) && each.every(([key, is]) => is(value[key]));
}

/**
 * Writes the text of a record that is not there yet at its path, in a third of the time of a temporary file and a rename:
 * a crash leaves a torn one, which counts as absent, and a failure none.
 *
 * @returns false if the path is taken.
 */
export function writeNew(path: string, text: string): boolean {
  try {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === 'EEXIST') return false;
    rmSync(path, { force: true });
    throw thrown;
  }
}

/** The text of a record, and its mtime in milliseconds since 1970. */
export type File = { readonly text: string; readonly time: number };

export async function readHere(path: string): Promise<File> {
  const fd = openRegular(path);
  try {
    return { time: timeOf(fstatSync(fd)), text: readFileSync(fd, 'utf8') };
  } finally {
    closeSync(fd);
  }
}

/** The text is read in a thread, because the disk may be slow. The mtime is in memory then. */
export async function readThere(path: string): Promise<File> {
  await using file = await openHandle(path);
  const text = await file.readFile('utf8');
  return { time: timeOf(statSync(path)), text };
}

/** Milliseconds since 1970. Some filesystems hold a time after the last one of a date. */
function timeOf({ mtimeMs }: Stats): number {
  return Math.round(Math.min(mtimeMs, 8.64e15));
}

/** Another for each version of a file: a put replaces the file. */
export function stampOf(path: string): string {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
}
