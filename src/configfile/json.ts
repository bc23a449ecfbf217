import { isObject, parseJson } from '../util/json.ts';
import { type Document, type Table, toTable } from './field.ts';

/**
 * The object that a JSON document is, which paths call `name`. A key that is there twice is refused: two readers could
 * choose differently.
 *
 * @throws ArtifactError `invalid` saying where it is not JSON.
 */
export function parseJsonObject(source: Uint8Array | string, name = ''): Table {
  return toJsonObject(parseJson(source, { uniqueKeys: true }), name);
}

/** @throws ArtifactError `invalid` for what is no object. */
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
