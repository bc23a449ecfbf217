import { type Digest, isDigest } from '../../oci/digest.ts';

/** The fields of a record file, not verified yet. */
export type Fields = Readonly<Record<string, unknown>>;

/** Returns the fields of a JSON object, or undefined for anything torn or foreign. */
export function parseFields(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isText(value: unknown): value is string {
  return typeof value === 'string';
}

/** A size, a count, or milliseconds since 1970. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
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

/** The digests that a root keeps. An older version wrote none. */
export function toHolds(value: unknown): readonly Digest[] | undefined {
  if (value === undefined) return [];
  return isDigestList(value) ? value : undefined;
}

export function isTextMap(value: unknown): value is Record<string, string> {
  return isFields(value) && Object.values(value).every(isText);
}

/** Whether an optional field is absent or valid. */
export function isAbsentOr<T>(is: (value: unknown) => value is T, value: unknown): value is T | undefined {
  return value === undefined || is(value);
}
