import { printable } from '../util/printable.ts';
import { padTo, widthOf } from './width.ts';

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
