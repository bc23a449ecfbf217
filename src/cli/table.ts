import { printable } from '../util/printable.ts';
import { cutMiddle, cutTo, padTo, widthOf } from './width.ts';

/**
 * What a column does on a narrow terminal. `fixed`: nothing. `digest`: it loses the algorithm, because commands accept
 * the hex digits alone. `spare`: it is cut, and then left out, from the left. `key`: it names the row, and is cut last.
 */
type Kind = 'fixed' | 'digest' | 'spare' | 'key';

/** The columns of a table by name. */
export type TableHeader = Readonly<Record<string, Kind>>;

type Column = {
  readonly name: string;
  readonly kind: Kind;
  readonly cells: readonly string[];
  readonly width: number;
};

const gap = '  ';
/** Least width of a cut spare column, and of a key column while spare ones are shown. */
const least = { spare: 16, key: 32 };
/** Least width of a column. */
const leastOfAll = 8;

/** Aligned columns, two spaces apart; the last is not padded. Fits `columns` where they are given. */
export function formatTable(
  header: TableHeader,
  rows: readonly (readonly string[])[],
  columns: number = Number.POSITIVE_INFINITY,
): string {
  const natural = Object.entries(header).map(([name, kind], nth): Column => {
    const cells = rows.map(row => printable(row[nth] ?? ''));
    return { name, kind, cells, width: widest([name, ...cells]) };
  });
  const shown = fit(natural, columns);
  return [-1, ...rows.keys()]
    .map(row => shown.map(column => formatCell(column, row)).join(gap))
    .map(line => `${line.trimEnd()}\n`)
    .join('');
}

/** The header for row -1. */
function formatCell({ name, cells, width }: Column, row: number): string {
  const cell = cells[row] ?? name;
  // The digest of a row has a column, and a tag has none.
  return padTo(cell.includes('@') ? cutTo(cell, width) : cutMiddle(cell, width), width);
}

function fit(natural: readonly Column[], room: number): readonly Column[] {
  if (takes(natural) <= room) return natural;
  const columns = natural.map(withoutAlgorithm);
  const dropped = new Set<Column>();
  const cut = (): readonly Column[] => {
    const left = columns.filter(column => !dropped.has(column));
    return shrink(shrink(left, 'spare', least.spare, room), 'key', least.key, room);
  };
  const fits = (): boolean => takes(cut()) <= room;
  const spare = columns.filter(({ kind }) => kind === 'spare');
  for (const column of spare) if (!fits()) dropped.add(column);
  // The last one may have made space for others.
  for (const column of spare) if (dropped.delete(column) && !fits()) dropped.add(column);
  return shrink(cut(), 'key', leastOfAll, room);
}

function withoutAlgorithm(column: Column): Column {
  if (column.kind !== 'digest') return column;
  const cells = column.cells.map(cell => cell.slice(cell.indexOf(':') + 1));
  return { ...column, cells, width: widest([column.name, ...cells]) };
}

/** Cuts the columns of a kind, the widest first. */
function shrink(columns: readonly Column[], kind: Kind, to: number, room: number): readonly Column[] {
  const cut = (limit: number): readonly Column[] =>
    columns.map(column =>
      column.kind === kind
        ? { ...column, width: Math.min(column.width, Math.max(limit, widthOf(column.name))) }
        : column,
    );
  let limit = Math.max(to, ...columns.map(({ width }) => width));
  while (limit > to && takes(cut(limit)) > room) limit--;
  return cut(limit);
}

function takes(columns: readonly Column[]): number {
  return columns.reduce((sum, { width }) => sum + width, gap.length * (columns.length - 1));
}

function widest(cells: readonly string[]): number {
  return cells.reduce((most, cell) => Math.max(most, widthOf(cell)), 0);
}
