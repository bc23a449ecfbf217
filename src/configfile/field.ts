import { ArtifactError, invalidValue } from '../util/error.ts';
import { suggest } from '../util/near.ts';

/**
 * A value of a document of any format, read as the wanted type. Every refusal is ArtifactError `invalid` that names
 * file, line and path as far as they are known. It quotes no value, which may be a secret, except by `invalid`.
 */
export type Field = {
  readonly kind: 'table' | 'list' | 'text' | 'other';
  /** `transports.docker["quay.io/acme"][0]`; empty for the document itself. */
  readonly path: string;
  /** From 1; undefined if the format does not report it. */
  readonly line: number | undefined;
  refuse(why: string): never;
  /** Refuses the text of a field that is no secret, and quotes it. */
  invalid(why: string): never;
  /** Not empty, unless `be-empty` allows it; the same below. */
  text(may?: 'be-empty'): string;
  flag(): boolean;
  /** From 0 to 2^53 - 1. */
  count(): number;
  list(may?: 'be-empty'): readonly Field[];
  /** No text in it is empty, unless allowed. */
  texts(may?: 'be-empty'): readonly string[];
  table(): Table;
};

/** Values by their keys. A missing key is undefined, except for `need`. */
export type Table = Pick<Field, 'path' | 'line' | 'refuse'> & {
  readonly keys: readonly string[];
  /** Returns `<file>:<line>: <path>` of a key, also of a missing one. */
  at(key: string): string;
  get(key: string): Field | undefined;
  need(key: string): Field;
  text(key: string, may?: 'be-empty'): string | undefined;
  flag(key: string): boolean | undefined;
  count(key: string): number | undefined;
  list(key: string, may?: 'be-empty'): readonly Field[] | undefined;
  texts(key: string, may?: 'be-empty'): readonly string[] | undefined;
  table(key: string): Table | undefined;
  tables(key: string, may?: 'be-empty'): readonly Table[] | undefined;
  /** Refuses the text of a key, as `Field.invalid` does, or that there is none. */
  invalid(key: string, why: string): never;
  /** Refuses the first key that is not listed. */
  only(...known: readonly string[]): void;
};

/** Keys and indexes, from the document inwards. */
export type Path = readonly (string | number)[];

/** The kind of a value. `refused`: it cannot be read, and why. */
export type NodeView<Node> =
  | { readonly kind: 'table'; readonly entries: readonly (readonly [key: string, node: Node])[] }
  | { readonly kind: 'list'; readonly items: readonly Node[] }
  | { readonly kind: 'scalar'; readonly value: unknown }
  | { readonly kind: 'refused'; readonly why: string };

/** How values of one document are read. */
export type Document<Node> = {
  /** The name of the document, before its paths. */
  readonly name?: string;
  readonly file?: string;
  readonly nullIsAbsent?: true;
  /** The format's words for a table and a list of tables. */
  readonly nouns: (path: Path) => { readonly table: string; readonly tables: string };
  readonly view: (node: Node) => NodeView<Node>;
  /** Returns the line of the value at a path. For a missing key, `node` is the table. */
  readonly line: (path: Path, node: Node) => number | undefined;
};

export function toTable<Node>(document: Document<Node>, root: Node): Table {
  return toField(document, [], root).table();
}

function toField<Node>(document: Document<Node>, path: Path, node: Node): Field {
  const view = document.view(node);
  const shown = formatPath(document.name ?? '', path);

  const refuse = (why: string): never => {
    throw new ArtifactError(
      'invalid',
      `${formatLocation(document.file, document.line(path, node))}${shown || 'it'} ${view.kind === 'refused' ? view.why : why}`,
    );
  };
  const value = view.kind === 'scalar' ? view.value : undefined;
  const invalid = (why: string): never => {
    if (typeof value !== 'string') return refuse(why);
    const at = `${formatLocation(document.file, document.line(path, node))}${shown}`;
    throw invalidValue('value', value, why, at);
  };

  const list = (may?: 'be-empty', what = 'a list'): readonly Field[] => {
    if (view.kind !== 'list') return refuse(`must be ${what}`);
    if (view.items.length === 0 && may === undefined) return refuse('must have one entry at least');
    return view.items.map((item, index) => toField(document, [...path, index], item));
  };

  return {
    kind:
      view.kind === 'table' || view.kind === 'list'
        ? view.kind
        : typeof value === 'string'
          ? 'text'
          : 'other',
    path: shown,
    get line() {
      return document.line(path, node);
    },
    refuse,
    invalid,
    text(may) {
      if (typeof value !== 'string') return refuse('must be text in quotes');
      return value !== '' || may !== undefined ? value : refuse('must not be empty');
    },
    flag: () => (typeof value === 'boolean' ? value : refuse('must be true or false, without quotes')),
    count: () =>
      typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
        ? value
        : refuse('must be a whole number'),
    list: may => list(may),
    texts: may => list(may, 'a list of texts, as in ["a", "b"]').map(field => field.text(may)),
    table() {
      if (view.kind !== 'table') return refuse(`must be ${document.nouns(path).table}`);
      const nodes = new Map(view.entries);
      const get = (key: string): Field | undefined => {
        const inner = nodes.get(key);
        if (inner === undefined) return undefined;
        const seen = document.nullIsAbsent === true ? document.view(inner) : undefined;
        if (seen?.kind === 'scalar' && seen.value === null) return undefined;
        return toField(document, [...path, key], inner);
      };
      const at = (key: string): string => {
        const inner = [...path, key];
        const location = formatLocation(document.file, document.line(inner, nodes.get(key) ?? node));
        return location + formatPath(document.name ?? '', inner);
      };
      return {
        path: shown,
        get line() {
          return document.line(path, node);
        },
        refuse,
        keys: [...nodes.keys()],
        at,
        get,
        need: key => get(key) ?? refuse(`has no ${key}`),
        text: (key, may) => get(key)?.text(may),
        flag: key => get(key)?.flag(),
        count: key => get(key)?.count(),
        list: (key, may) => get(key)?.list(may),
        texts: (key, may) => get(key)?.texts(may),
        table: key => get(key)?.table(),
        tables(key, may) {
          const field = get(key);
          if (field === undefined) return undefined;
          if (field.kind !== 'list') return field.refuse(`must be ${document.nouns([...path, key]).tables}`);
          return field.list(may).map(entry => entry.table());
        },
        invalid(key, why) {
          get(key)?.invalid(why);
          throw new ArtifactError('invalid', `${at(key)} ${why}`);
        },
        only(...known) {
          const unknown = [...nodes.keys()].find(key => !known.includes(key));
          if (unknown === undefined) return;
          throw new ArtifactError(
            'invalid',
            `${at(unknown)} is an unknown field${suggest(unknown, known)}; the known fields are ${known.join(', ')}`,
          );
        },
      };
    },
  };
}

function formatLocation(file: string | undefined, line: number | undefined): string {
  if (file === undefined) return line === undefined ? '' : `line ${line}: `;
  return line === undefined ? `${file}: ` : `${file}:${line}: `;
}

function formatPath(name: string, path: Path): string {
  let shown = name;
  for (const step of path) {
    if (typeof step === 'number' || !/^[\w-]+$/.test(step)) shown += `[${JSON.stringify(step)}]`;
    else shown += shown === '' ? step : `.${step}`;
  }
  return shown;
}
