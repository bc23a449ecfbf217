import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { quoteName } from '../oci/name.ts';
import { ArtifactError } from '../util/error.ts';

/** A value of a YAML document and its place, read as the type that is wanted. Every refusal names line and field. */
export type YamlField = {
  /** From 1. */
  readonly line: number;
  /** @throws ArtifactError `invalid`, always; so below for a value of another type. */
  refuse(why: string): never;
  /** Not empty, unless it may be. */
  text(may?: 'be-empty'): string;
  /** One entry at least, unless it may be empty. */
  list(may?: 'be-empty'): readonly YamlField[];
  /** Those of a map; with `known`, another field is refused. */
  fields(known?: readonly string[]): ReadonlyMap<string, YamlField>;
};

const unquoted = 'put text that begins with * in quotes: without them YAML takes it for an alias';

/**
 * The one document that a text is; JSON is YAML too. Aliases, tags and keys that are there twice are refused.
 *
 * @throws ArtifactError `invalid` naming the line.
 */
export function parseYaml(text: string): YamlField {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const [flaw] = [...document.errors, ...document.warnings];
  if (flaw !== undefined) {
    const why = flaw.code === 'BAD_ALIAS' ? unquoted : flaw.message;
    throw new ArtifactError(
      'invalid',
      `line ${lines.linePos(flaw.pos[0]).line}: it is not plain YAML: ${why}`,
    );
  }
  return toField(document.contents, '', 1, lines);
}

function toField(node: unknown, path: string, lineOfParent: number, lines: LineCounter): YamlField {
  const line = lineOf(node, lines) ?? lineOfParent;

  const refuse = (why: string): never => {
    const wrong = isAlias(node) ? `cannot be an alias; ${unquoted}` : why;
    throw new ArtifactError('invalid', `line ${line}: ${path === '' ? 'the file' : path} ${wrong}`);
  };

  return {
    line,
    refuse,
    text(may) {
      const text = isScalar(node) && typeof node.value === 'string' ? node.value : undefined;
      if (text !== undefined && (text !== '' || may !== undefined)) return text;
      return refuse('must be text that is not empty; put numbers and dates in quotes');
    },
    list(may) {
      if (!isSeq(node)) return refuse('must be a list');
      if (node.items.length === 0 && may === undefined) return refuse('must have one entry at least');
      return node.items.map((item, index) => toField(item, `${path}[${index}]`, line, lines));
    },
    fields(known) {
      if (!isMap(node)) return refuse('must be a map of fields');
      const fields = new Map(
        node.items.map(({ key, value }) => {
          const name = isScalar(key) ? String(key.value) : '';
          const shown = /^\w+$/.test(name) ? name : quoteName(name);
          const place = path === '' ? shown : `${path}.${shown}`;
          return [name, toField(value, place, lineOf(key, lines) ?? line, lines)] as const;
        }),
      );
      for (const [name, field] of known === undefined ? [] : fields) {
        if (!known?.includes(name)) {
          field.refuse(`is an unknown field; the known fields are ${known?.join(', ')}`);
        }
      }
      return fields;
    },
  };
}

function lineOf(node: unknown, lines: LineCounter): number | undefined {
  const start = (node as Partial<Node> | null)?.range?.[0];
  return start === undefined ? undefined : lines.linePos(start).line;
}
