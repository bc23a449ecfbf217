import { ArtifactError } from '../util/error.ts';
import { parseJson } from '../util/json.ts';

/** An object of a JSON document, read by key with the type that is wanted. Every refusal names the field's path. */
export type JsonObject = {
  /** The path of the object itself; empty for a document's own. */
  readonly path: string;
  readonly keys: readonly string[];
  /** `transports.docker["quay.io/acme"]` */
  at(key: string): string;
  /** Undefined for a key that is not there. @throws ArtifactError `invalid` for a value of another type; so below. */
  text(key: string): string | undefined;
  texts(key: string): readonly string[] | undefined;
  /** From 0 to 2^53 - 1. */
  count(key: string): number | undefined;
  object(key: string): JsonObject | undefined;
  /** A list of objects, each with its place in its path. */
  objects(key: string): readonly JsonObject[] | undefined;
  /** @throws ArtifactError `invalid` naming the first key that is not among these. */
  only(...known: readonly string[]): void;
};

/**
 * The object that a JSON document is. A key that is there twice is refused: two readers could choose differently.
 *
 * @throws ArtifactError `invalid` saying where it is not JSON.
 */
export function parseJsonObject(source: Uint8Array | string, path = ''): JsonObject {
  return toJsonObject(parseJson(source, { uniqueKeys: true }), path);
}

/** @throws ArtifactError `invalid` for what is no object. */
export function toJsonObject(value: unknown, path = ''): JsonObject {
  if (!isObject(value)) throw new ArtifactError('invalid', 'it is no JSON object');
  return toObject(value, path);
}

function toObject(values: object, path: string): JsonObject {
  const fields = new Map<string, unknown>(Object.entries(values));

  const at = (key: string): string => {
    if (!/^\w+$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
    return path === '' ? key : `${path}.${key}`;
  };

  function field<T>(key: string, is: (value: unknown) => value is T, wanted: string): T | undefined {
    const value = fields.get(key);
    if (value === undefined || is(value)) return value;
    throw new ArtifactError('invalid', `${at(key)} must be ${wanted}`);
  }

  return {
    path,
    keys: [...fields.keys()],
    at,
    text: key => field(key, isText, 'a text that is not empty'),
    texts: key => field(key, isTexts, 'a list of texts that is not empty'),
    count: key => field(key, isCount, 'a whole number'),
    object: key => {
      const value = field(key, isObject, 'an object');
      return value === undefined ? undefined : toObject(value, at(key));
    },
    objects: key =>
      field(key, isObjects, 'a list of objects that is not empty')?.map((value, index) =>
        toObject(value, `${at(key)}[${index}]`),
      ),
    only: (...known) => {
      const unknown = [...fields.keys()].find(key => !known.includes(key));
      if (unknown !== undefined) throw new ArtifactError('invalid', `${at(unknown)} is not known here`);
    },
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every(isText);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isObjects(value: unknown): value is readonly object[] {
  return Array.isArray(value) && value.length > 0 && value.every(isObject);
}
