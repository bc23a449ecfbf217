import { printable } from '../util/printable.ts';

/** Aligned columns, two spaces between; the last is not padded. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows.map(row => row.map(printable))];
  const widths = header.map((_, column) =>
    lines.reduce((widest, line) => Math.max(widest, line[column]?.length ?? 0), 0),
  );
  return lines
    .map(line => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map(line => `${line.trimEnd()}\n`)
    .join('');
}

/** `name: value` lines with the values aligned. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const lines = fields.map(([name, value]) => [`${printable(name)}:`, printable(value)] as const);
  const width = lines.reduce((widest, [name]) => Math.max(widest, name.length), 0);
  return lines.map(([name, value]) => `${name.padEnd(width)} ${value}\n`).join('');
}

/** Milliseconds as the largest unit that fits: `5s`, `12m`, `3h`, `40d`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

/** A digest for people: the algorithm and twelve hex digits. */
export function formatDigest(digest: string): string {
  const colon = digest.indexOf(':');
  return digest.slice(0, colon + 13);
}

/** `1 volume`, `2 volumes`. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
