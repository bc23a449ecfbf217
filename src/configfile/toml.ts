import { parse, TomlError } from 'smol-toml';
import { ArtifactError } from '../util/error.ts';
import { type Path, type Table, toTable } from './field.ts';

/** Parses a TOML file. @throws ArtifactError `invalid` naming file, line and column of a syntax error. */
export function parseToml(text: string, file: string): Table {
  let values: object;
  try {
    values = parse(text);
  } catch (thrown) {
    if (!(thrown instanceof TomlError)) throw thrown;
    const why = thrown.message.split('\n', 1)[0];
    throw new ArtifactError('invalid', `${file}:${thrown.line}:${thrown.column}: ${why}`);
  }
  const lines = text.split('\n');
  return toTable<unknown>(
    {
      file,
      nouns(path) {
        const { fullName } = locate(path);
        return { table: `a table, [${fullName}]`, tables: `an array of tables, [[${fullName}]]` };
      },
      line: path => lineOf(lines, path),
      view(value) {
        if (Array.isArray(value)) return { kind: 'list', items: value };
        if (isTable(value)) return { kind: 'table', entries: Object.entries(value) };
        return { kind: 'scalar', value };
      },
    },
    values,
  );
}

function isTable(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Date);
}

/** The tables around a value, outermost first: each by its full name, and its index among those of the same name. */
type Nesting = readonly { readonly name: string; readonly nth: number }[];

type Location = { readonly nesting: Nesting; readonly key: string; readonly fullName: string };

/** Returns the header that contains a path. A value in a list of values is at the list. */
function locate(path: Path): Location {
  let { nesting, key, fullName }: Location = { nesting: [], key: '', fullName: '' };
  for (const [index, step] of path.entries()) {
    if (typeof step === 'number') continue;
    const before = path[index - 1];
    const nth = typeof before === 'number' ? before : 0;
    if (index > 0) nesting = [...nesting, { name: fullName, nth }];
    key = step;
    const spelled = /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
    fullName = fullName === '' ? spelled : `${fullName}.${spelled}`;
  }
  return { nesting, key, fullName };
}

/** The parser keeps no positions, so this searches the line. A dotted key is not found. */
function lineOf(lines: readonly string[], path: Path): number | undefined {
  const { nesting, key, fullName } = locate(path);
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
    // A table that only its inner tables name has no header of its own.
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
