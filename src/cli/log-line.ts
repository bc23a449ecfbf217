import { formatJson, printable } from '../util/printable.ts';

/** For pino: its levels by their names. */
export const formatters: { level(label: string): { readonly level: string } } = {
  level: label => ({ level: label }),
};

/** Fields in the order in which people read them; the others follow, and then the long ones. */
const origin = ['pulled', 'resumed', 'cached', 'later', 'pulledLayers', 'cachedLayers'];
const first = ['pod', 'reference', 'bytes', ...origin, 'ms', 'code', 'error'];
const last = ['digest', 'volumeId', 'target', 'method', 'stack'];

/**
 * A line of the log as text, from its JSON: `2026-11-29T20:00:00.000Z INFO volume published pod=shop/web-0
 * reference=localhost:5000/models/tiny:1 bytes=35840 ms=13 code=OK …`. A value that is not one word is in quotes.
 */
export function formatLogLine(json: string): string {
  const { time, level, ...entry } = JSON.parse(json) as Record<string, unknown>;
  return `${asText(time)} ${asText(level).toUpperCase()} ${formatEntry(entry)}\n`;
}

/** The message of a line of the log, and its fields. */
export function formatEntry({ msg, namespace, ...rest }: Readonly<Record<string, unknown>>): string {
  const pod = namespace === undefined ? rest['pod'] : `${asText(namespace)}/${asText(rest['pod'])}`;
  const fields = Object.entries({ ...rest, pod }).filter(([, value]) => value !== undefined && value !== '');
  const words = fields
    .toSorted(([one], [other]) => rank(one) - rank(other))
    .map(([key, value]) => `${key}=${toWord(value)}`);
  return [printable(asText(msg)), ...words].join(' ');
}

function rank(key: string): number {
  const [early, late] = [first.indexOf(key), last.indexOf(key)];
  return early >= 0 ? early - first.length : late + 1;
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : formatJson(value);
}

function toWord(value: unknown): string {
  const text = asText(value);
  return typeof value === 'string' && !/^[^\s"=]+$/.test(text) ? formatJson(text) : printable(text);
}
