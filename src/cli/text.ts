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
