import { isObject, parseJson } from '../util/json.ts';
import { type Document, type Table, toTable } from './field.ts';

/**
 * Parses a JSON document that is an object, which paths call `name`. A duplicate key is refused: two parsers could
 * choose differently.
 *
 * @throws ArtifactError `invalid` with the position of a syntax error.
 */
export function parseJsonObject(source: Uint8Array | string, name = ''): Table {
  return toJsonObject(parseJson(source, { uniqueKeys: true }), name);
}

/** @throws ArtifactError `invalid` if it is not an object. */
export function toJsonObject(value: unknown, name = ''): Table {
  return toTable({ ...format, name }, value);
}

const format: Document<unknown> = {
  nouns: () => ({ table: 'an object', tables: 'a list of objects' }),
  line: () => undefined,
  view(value) {
    if (Array.isArray(value)) return { kind: 'list', items: value };
    if (isObject(value)) return { kind: 'table', entries: Object.entries(value) };
    return { kind: 'scalar', value };
  },
};
