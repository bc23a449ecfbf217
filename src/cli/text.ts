import { printable } from '../util/printable.ts';
import { cutTo, padTo, widthOf } from './width.ts';

/** Least width of a cut column, unless its header is wider. */
const leastWidth = 8;
const gap = '  ';

/**
 * Aligned columns, two spaces apart; the last is not padded. With `columns`, the widest columns are cut until a line
 * fits.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columns?: number,
): string {
  const lines = [header, ...rows.map(row => row.map(printable))];
  const natural = header.map((_, column) =>
    lines.reduce((widest, line) => Math.max(widest, widthOf(line[column] ?? '')), 0),
  );
  const least = header.map(name => Math.max(leastWidth, widthOf(name)));
  const widths = columns === undefined ? natural : fit(natural, least, columns);
  return lines
    .map(line => line.map((cell, column) => formatCell(cell, widths[column] ?? 0)).join(gap))
    .map(line => `${line.trimEnd()}\n`)
    .join('');
}

function formatCell(cell: string, width: number): string {
  return padTo(cutTo(cell, width), width);
}

/** Cuts the widest first, evenly. */
function fit(natural: readonly number[], least: readonly number[], columns: number): readonly number[] {
  const room = columns - gap.length * (natural.length - 1);
  const cut = (limit: number): readonly number[] =>
    natural.map((width, column) => Math.min(width, Math.max(limit, least[column] ?? 0)));
  let limit = Math.max(leastWidth, ...natural);
  while (limit > leastWidth && cut(limit).reduce((sum, width) => sum + width, 0) > room) limit--;
  return cut(limit);
}

/** `name: value` lines with the values aligned. */
export function formatFields(fields: readonly (readonly [name: string, value: string])[]): string {
  const lines = fields.map(([name, value]) => [`${printable(name)}:`, printable(value)] as const);
  const width = lines.reduce((widest, [name]) => Math.max(widest, widthOf(name)), 0);
  return lines.map(([name, value]) => `${padTo(name, width)} ${value}\n`).join('');
}

/** Lines that are safe on a terminal, each with a line end. */
export function formatLines(lines: readonly string[]): string {
  return lines.map(line => `${printable(line)}\n`).join('');
}

/** Milliseconds in the largest unit that fits: `5s`, `12m`, `3h`, `40d`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 2 * 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86400)}d`;
}

/** A digest for users: the algorithm and twelve hex digits, or all of it. */
export function formatDigest(digest: string, whole: boolean): string {
  if (whole) return digest;
  const colon = digest.indexOf(':');
  return digest.slice(0, colon + 13);
}

/** `1 volume`, `2 volumes`. */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
