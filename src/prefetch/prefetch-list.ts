import type { Field, Table } from '../configfile/field.ts';
import { parseYaml } from '../configfile/yaml.ts';
import type { Labels } from '../ports/kube.ts';
import type { ParseAttributes, PrefetchEntry } from '../ports/prefetch.ts';
import { parseDuration } from '../util/duration.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';

/** The volume attributes that an entry has too. `pullPolicy` follows from `interval`. */
export const attributes: readonly string[] = [
  'reference',
  'platform',
  'unpack',
  'subPath',
  'include',
  'exclude',
];

/** Characters of a list, so that reading it takes the main thread less than half a second: 4,000 artifacts. */
const longest = 256 * 1024;
const hourMs = 3_600_000;
const leastIntervalMs = 60_000;

/**
 * Parses a list of artifacts, YAML or JSON:
 *
 *     artifacts:
 *       - reference: registry.example/models/tiny:v1   # and the other attributes of a volume, but pullPolicy
 *         keep: true                                   # default; false: garbage collection may remove it
 *         interval: 1h                                 # how often a tag is resolved again; default 1h, at least 1m
 *         nodeSelector: { accelerator: a100 }          # labels of the nodes that want it; default: all nodes
 *
 * @throws ArtifactError `invalid` naming line and field.
 */
export function parsePrefetchList(text: string, parseAttributes: ParseAttributes): readonly PrefetchEntry[] {
  if (text.length > longest)
    throw new ArtifactError(
      'invalid',
      `it has ${text.length} characters, and may have ${longest}; list fewer artifacts`,
    );
  const top = parseYaml(text);
  top.only('artifacts');
  top.need('artifacts');
  const entries = (top.tables('artifacts', 'be-empty') ?? []).map(entry => toEntry(entry, parseAttributes));
  const lines = new Map<string, number | undefined>();
  for (const [entry, table] of entries) {
    const key = wishOf(entry);
    if (lines.has(key))
      table.refuse(
        `lists ${quoteName(entry.artifact.reference)} again, as line ${lines.get(key)} does; keep one of the two`,
      );
    lines.set(key, table.line);
  }
  return entries.map(([entry]) => entry);
}

function toEntry(entry: Table, parseAttributes: ParseAttributes): readonly [PrefetchEntry, Table] {
  entry.only(...attributes, 'keep', 'interval', 'nodeSelector');
  const artifact = parseArtifact(entry, parseAttributes);
  return [
    {
      artifact,
      keep: entry.flag('keep') ?? true,
      intervalMs: toInterval(entry, artifact.reference),
      nodeSelector: toLabels(entry.table('nodeSelector')),
    },
    entry,
  ];
}

/** Parses the fields that are volume attributes. The caller refuses other fields. */
export function parseArtifact(entry: Table, parseAttributes: ParseAttributes): PrefetchEntry['artifact'] {
  entry.need('reference');
  const given = attributes.flatMap(key => {
    const value = entry.text(key);
    return value === undefined ? [] : [[key, value] as const];
  });
  const { reference, platform, selection } = within(entry, () => parseAttributes(Object.fromEntries(given)));
  return { reference, selection, ...(platform === undefined ? {} : { platform }) };
}

function toInterval(entry: Table, reference: string): number | undefined {
  const field = entry.get('interval');
  const isDigest = reference.includes('@');
  if (field !== undefined && isDigest) field.refuse('is for tags, and a digest never moves; leave it out');
  return isDigest ? undefined : parseInterval(field);
}

/** How often a tag is resolved again, in milliseconds. */
export function parseInterval(field: Field | undefined): number {
  if (field === undefined) return hourMs;
  const text = toText(field);
  const interval = within(field, () => parseDuration(text));
  if (interval < leastIntervalMs) field.invalid('must be 1m at least');
  return interval;
}

/** The text of a duration. A number, which lacks the unit, is no text in YAML. */
function toText(field: Field): string {
  try {
    return field.text();
  } catch {
    return field.refuse('must have a unit, such as 1h');
  }
}

function toLabels(table: Table | undefined): Labels {
  return Object.fromEntries(
    (table?.keys ?? []).toSorted().map(key => [key, table?.text(key, 'be-empty') ?? '']),
  );
}

/** @throws ArtifactError `invalid`: the refusal, with the line of the field. */
function within<T>(field: Pick<Table, 'refuse'>, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    return field.refuse(`is refused: ${toArtifactError(thrown).message}`);
  }
}

/** Equal for entries that ask for the same content for the same nodes. */
function wishOf({ artifact, nodeSelector }: PrefetchEntry): string {
  return JSON.stringify([artifact, nodeSelector]);
}
