/** What a reader of the page asks for. */
export type PageQuery = {
  /** Rows that contain it; empty: all. */
  readonly search: string;
  /** The number of the page of rows of each table, from 1. */
  readonly pages: Readonly<Record<PagedTable, number>>;
};

/** The tables that may have thousands of rows. */
export type PagedTable = 'volumes' | 'artifacts';

/** Rows of a table on one page. */
const rowsPerPage = 100;
const longestSearch = 200;

/** Parses the query of a request; anything else counts as absent. */
export function parsePageQuery(text: string): PageQuery {
  const fields = new URLSearchParams(text);
  const pageOf = (table: PagedTable): number => {
    const given = fields.get(table) ?? '';
    return /^[1-9][0-9]{0,5}$/.test(given) ? Number(given) : 1;
  };
  return {
    search: (fields.get('search') ?? '').trim().slice(0, longestSearch),
    pages: { volumes: pageOf('volumes'), artifacts: pageOf('artifacts') },
  };
}

/** The link to another page of a table. The others stay as they are. */
export function formatPageLink({ search, pages }: PageQuery, table: PagedTable, page: number): string {
  const fields = new URLSearchParams();
  if (search !== '') fields.set('search', search);
  for (const [name, number] of Object.entries({ ...pages, [table]: page }))
    if (number !== 1) fields.set(name, String(number));
  const query = fields.toString();
  return `/${query === '' ? '' : `?${query}`}#${table}`;
}

export type Rows<T> = {
  readonly rows: readonly T[];
  /** Of all that match. */
  readonly total: number;
  readonly page: number;
  readonly lastPage: number;
};

/** The rows of one page, of those whose text contains what is searched for. */
export function selectRows<T>(
  all: readonly T[],
  { search, pages }: PageQuery,
  table: PagedTable,
  textOf: (row: T) => string,
): Rows<T> {
  const wanted = search.toLowerCase();
  const found = wanted === '' ? all : all.filter(row => textOf(row).toLowerCase().includes(wanted));
  const lastPage = Math.max(1, Math.ceil(found.length / rowsPerPage));
  const page = Math.min(pages[table], lastPage);
  const rows = found.slice((page - 1) * rowsPerPage, page * rowsPerPage);
  return { rows, total: found.length, page, lastPage };
}
