import type { Row } from './fleet.ts';

export type NamedRow = readonly [name: string, row: Row];

/** A table for people. */
export function formatRows(title: string, measured: readonly NamedRow[]): string {
  const head = [title, 'copies', 'requests', 'refused', 'seconds'];
  const lines = measured.map(([name, { copies, requests, refused, seconds }]) => [
    name,
    copies.toFixed(2),
    String(requests),
    String(refused),
    seconds.toFixed(1),
  ]);
  const all = [head, ...lines];
  const widths = head.map((_, column) => Math.max(...all.map(line => line[column]?.length ?? 0)));
  return all
    .map(line =>
      line
        .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
        .join('  '),
    )
    .join('\n');
}
