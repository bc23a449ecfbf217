import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type Document as Yaml,
} from 'yaml';
import { ArtifactError } from '../util/error.ts';
import { type Document, type NodeView, type Table, toTable } from './field.ts';

/** `kubernetes`: as its components read their files, which may contain secrets. */
type Form = { readonly kind: 'plain' } | { readonly kind: 'kubernetes'; readonly file: string };

/** A value and its line, or without one, the line of the value that contains it. */
type Located = { readonly node: unknown; readonly line: number };

const unquoted = 'put text that begins with * in quotes: without them YAML takes it for an alias';

/**
 * Parses a text with one document that is a map; JSON is YAML too. Duplicate keys are refused. Plain YAML has no
 * aliases and no tags. Kubernetes accepts both, and a null as absent.
 *
 * @throws ArtifactError `invalid` naming the line; for a file that Kubernetes reads, the file and nothing else.
 */
export function parseYaml(text: string, form: Form = { kind: 'plain' }): Table {
  const lines = new LineCounter();
  const yaml = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false, // in quadratic time; see findRepeated
    logLevel: 'error',
  });
  verify(yaml, lines, form);
  const lineOf = (node: unknown): number | undefined => {
    const start = (node as Partial<Node> | null)?.range?.[0];
    return start === undefined ? undefined : lines.linePos(start).line;
  };
  const view = ({ node, line }: Located): NodeView<Located> => {
    if (isAlias(node)) {
      if (form.kind === 'kubernetes') return view({ node: node.resolve(yaml), line });
      return { kind: 'refused', why: `cannot be an alias; ${unquoted}` };
    }
    if (isSeq(node)) {
      return { kind: 'list', items: node.items.map(item => ({ node: item, line: lineOf(item) ?? line })) };
    }
    if (!isMap(node)) return { kind: 'scalar', value: isScalar(node) ? node.value : null };
    const entries = node.items.map(({ key, value }) => {
      const name = isScalar(key) ? String(key.value) : '';
      return [name, { node: value, line: lineOf(value) ?? lineOf(key) ?? line }] as const;
    });
    return { kind: 'table', entries };
  };
  const document: Document<Located> = {
    nouns: () => ({ table: 'a map of fields', tables: 'a list of maps' }),
    line: (_path, { line }) => line,
    view,
    ...(form.kind === 'kubernetes' ? { file: form.file, nullIsAbsent: true } : {}),
  };
  return toTable(document, { node: yaml.contents, line: lineOf(yaml.contents) ?? 1 });
}

type Flaw = { readonly code: string; readonly message: string; readonly pos: readonly [number, number] };

function verify(yaml: Yaml, lines: LineCounter, form: Form): void {
  const { errors, warnings } = yaml;
  const found: readonly Flaw[] = form.kind === 'plain' ? [...errors, ...warnings] : errors;
  const flaw = found[0] ?? findRepeated(yaml);
  if (flaw === undefined) return;
  const { line } = lines.linePos(flaw.pos[0]);
  if (form.kind === 'kubernetes') {
    throw new ArtifactError('invalid', `${form.file}:${line}: it is neither YAML nor JSON`);
  }
  const why = flaw.code === 'BAD_ALIAS' ? unquoted : flaw.message;
  throw new ArtifactError('invalid', `line ${line}: it is not plain YAML: ${why}`);
}

/** The first key that its map has twice. */
function findRepeated(yaml: Yaml): Flaw | undefined {
  let found: Flaw | undefined;
  visit(yaml, {
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const [from = 0, to = from] = key.range ?? [];
        found ??= seen.has(key.value)
          ? { code: 'DUPLICATE_KEY', message: 'Map keys must be unique', pos: [from, to] }
          : undefined;
        seen.add(key.value);
      }
      return found === undefined ? undefined : visit.BREAK;
    },
  });
  return found;
}
