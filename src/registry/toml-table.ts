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
  /** A value of any type that `is` knows; `wanted` names it for the refusal. */
  field<T>(key: string, is: (value: unknown) => value is T, wanted: string): T | undefined;
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
  return toTable(values, { file, lines: text.split('\n') }, []);
}

type Source = { readonly file: string; readonly lines: readonly string[] };

/** The tables around a value, outermost first: each by its full name, and which of those of one name it is. */
type Nesting = readonly { readonly name: string; readonly nth: number }[];

function toTable(values: object, source: Source, nesting: Nesting): TomlTable {
  const fields = new Map<string, unknown>(Object.entries(values));
  const fullName = (key: string): string => {
    const spelled = /^[\w-]+$/.test(key) || nesting.length === 0 ? key : JSON.stringify(key);
    const parent = nesting.at(-1);
    return parent === undefined ? spelled : `${parent.name}.${spelled}`;
  };
  const inner = (table: object, key: string, nth: number): TomlTable =>
    toTable(table, source, [...nesting, { name: fullName(key), nth }]);

  const at = (key: string): string => {
    const line = lineOf(source.lines, nesting, key, fullName(key));
    return `${source.file}:${line === undefined ? '' : `${line}:`} ${fullName(key)}`;
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
      const table = field(key, isTable, `a table, [${fullName(key)}]`);
      return table === undefined ? undefined : inner(table, key, 0);
    },
    tables: key => {
      const tables = field(key, isTables, `an array of tables, [[${fullName(key)}]]`) ?? [];
      return tables.map((table, index) => inner(table, key, index));
    },
    field,
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
function lineOf(
  lines: readonly string[],
  nesting: Nesting,
  key: string,
  fullName: string,
): number | undefined {
  const seen = nesting.map(() => -1);
  const name = nesting.at(-1)?.name ?? '';
  let table = '';
  for (const [index, line] of lines.entries()) {
    const header = /^\s*\[{1,2}\s*(.*?)\s*\]{1,2}\s*(?:#.*)?$/.exec(line)?.[1];
    if (header !== undefined) {
      table = header;
      const depth = nesting.findIndex(outer => outer.name === header);
      if (depth >= 0) {
        seen[depth] = (seen[depth] ?? -1) + 1;
        seen.fill(-1, depth + 1);
      }
    }
    // A table that only its inner ones name has no header of its own.
    if (!nesting.every(({ nth }, depth) => Math.max(seen[depth] ?? 0, 0) === nth)) continue;
    if (header !== undefined) {
      if (header === fullName || header.startsWith(`${fullName}.`)) return index + 1;
    } else if (table === name) {
      const written = /^\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*=/.exec(line);
      if (written !== null && (written[1] ?? written[2] ?? written[3]) === key) return index + 1;
    }
  }
  return undefined;
}
