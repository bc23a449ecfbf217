import { parse, TomlError } from 'smol-toml';
import { ArtifactError } from '../util/error.ts';

/** One table of a TOML file, read by key with the type that is wanted. Every refusal names file, line and key. */
export type TomlTable = {
  readonly keys: readonly string[];
  /** Undefined for a key that is not there. @throws ArtifactError `invalid` for a value of another type; so below. */
  text(key: string): string | undefined;
  flag(key: string): boolean | undefined;
  texts(key: string): readonly string[] | undefined;
  table(key: string): TomlTable | undefined;
  tables(key: string): readonly TomlTable[];
  /** `<file>:<line>: <table>.<key>`, the line where it can be told. */
  at(key: string): string;
};

/** @throws ArtifactError `invalid` naming file, line and column where it is not TOML. */
export function parseToml(text: string, file: string): TomlTable {
  let values: object;
  try {
    values = parse(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    const why = thrown.message.split('\n', 1)[0];
    throw new ArtifactError('invalid', `${file}:${thrown.line}:${thrown.column}: ${why}`);
  }
  return toTable(values, { file, lines: text.split('\n') }, '', 0);
}

type Source = { readonly file: string; readonly lines: readonly string[] };

/** `name` is the table's in the file and `nth` counts those of an array; the file's own table has no name. */
function toTable(values: object, source: Source, name: string, nth: number): TomlTable {
  const fields = new Map<string, unknown>(Object.entries(values));

  const at = (key: string): string => {
    const line = lineOf(source.lines, name, nth, key);
    const full = name === '' ? key : `${name}.${key}`;
    return `${source.file}:${line === undefined ? '' : `${line}:`} ${full}`;
  };

  function field<T>(key: string, is: (value: unknown) => value is T, wanted: string): T | undefined {
    const value = fields.get(key);
    if (value === undefined || is(value)) return value;
    throw new ArtifactError('invalid', `${at(key)} must be ${wanted}`);
  }

  return {
    keys: [...fields.keys()],
    text: key => field(key, isText, 'text in quotes'),
    flag: key => field(key, isFlag, 'true or false, without quotes'),
    texts: key => field(key, isTexts, 'a list of texts, as in ["a", "b"]'),
    table: key => {
      const table = field(key, isTable, `a table, [${key}]`);
      return table === undefined ? undefined : toTable(table, source, key, 0);
    },
    tables: key => {
      const tables = field(key, isTables, `an array of tables, [[${key}]]`) ?? [];
      return tables.map((table, index) => toTable(table, source, key, index));
    },
    at,
  };
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isFlag(value: unknown): value is boolean {
  return typeof value === 'boolean';
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isText);
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function isTables(value: unknown): value is readonly object[] {
  return Array.isArray(value) && value.every(isTable);
}

/** The parser keeps no positions, so the line is looked for; one written in another style (a dotted key) is not found. */
function lineOf(lines: readonly string[], name: string, nth: number, key: string): number | undefined {
  let table = '';
  let seen = -1;
  for (const [index, line] of lines.entries()) {
    const header = /^\s*\[{1,2}\s*([^\]]*?)\s*\]{1,2}\s*(?:#.*)?$/.exec(line)?.[1];
    if (header !== undefined) {
      table = header;
      if (header === name) seen += 1;
      if (name === '' && (header === key || header.startsWith(`${key}.`))) return index + 1;
    } else if (table === name && (name === '' || seen === nth)) {
      const written = /^\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*=/.exec(line);
      if (written !== null && (written[1] ?? written[2] ?? written[3]) === key) return index + 1;
    }
  }
  return undefined;
}
