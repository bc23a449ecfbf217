import type { VolumeStatus } from '../../ports/usecases.ts';
import { formatAge, formatDigest, toDate } from '../../util/words.ts';
import { type Html, type HtmlValue, html } from './html.ts';
import { formatPageLink, type PagedTable, type PageQuery, type Rows, selectRows } from './query.ts';

/** A column: its heading, and the class of its cells. */
export type Column = { readonly heading: string; readonly kind?: 'number' };

/** A table that a narrow screen shows as cards: each cell carries its heading. */
export function formatTable(
  caption: string,
  columns: readonly Column[],
  rows: readonly (readonly HtmlValue[])[],
): Html {
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table>
<caption class="aside">${caption}</caption>
<thead><tr>${columns.map(({ heading, kind }) => html`<th scope="col"${classOf(kind)}>${heading}</th>`)}</tr></thead>
<tbody>${rows.map(
    row =>
      html`<tr>${row.map((cell, nth) =>
        nth === 0
          ? html`<th scope="row">${cell}</th>`
          : html`<td${classOf(columns[nth]?.kind)} data-heading="${columns[nth]?.heading}">${cell}</td>`,
      )}</tr>
`,
  )}</tbody></table></div>`;
}

function classOf(kind: Column['kind']): Html | undefined {
  return kind === undefined ? undefined : html` class="${kind}"`;
}

/** A section with its number of rows. An empty one says so. */
export function formatSection(id: string, heading: string, count: number | undefined, body: HtmlValue): Html {
  const counted = count === undefined ? undefined : html` <span class="count">${count}</span>`;
  return html`<section id="${id}" aria-labelledby="${id}-heading">
<h2 id="${id}-heading">${heading}${counted}</h2>
${body}
</section>
`;
}

/** A table of which a page shows some rows, of those that match what is searched for. */
export type PagedSection<T> = {
  readonly table: PagedTable;
  readonly heading: string;
  readonly caption: string;
  readonly columns: readonly Column[];
  /** What the section says without rows and without a search. */
  readonly none: string;
  /** The text of a row that is searched. */
  readonly textOf: (row: T) => string;
  readonly toCells: (row: T) => readonly HtmlValue[];
};

export function formatPagedSection<T>(
  { table, heading, caption, columns, none, textOf, toCells }: PagedSection<T>,
  all: readonly T[],
  query: PageQuery,
): Html {
  const found = selectRows(all, query, table, textOf);
  const body =
    found.rows.length === 0
      ? formatEmpty(query.search === '' ? none : 'None matches.')
      : html`${formatTable(caption, columns, found.rows.map(toCells))}${formatPaging(query, table, found)}`;
  return formatSection(table, heading, found.total, body);
}

/** A table of which a page shows the first rows, and counts the rest: `what` it does. */
type FirstRows<T> = Pick<PagedSection<T>, 'caption' | 'columns' | 'toCells'> & { readonly what: string };

const mostFirst = 50;

export function formatFirstRows<T>(
  all: readonly T[],
  { caption, columns, toCells, what }: FirstRows<T>,
): Html {
  const table = formatTable(caption, columns, all.slice(0, mostFirst).map(toCells));
  const rest = all.length - mostFirst;
  return html`${table}${rest > 0 ? formatEmpty(`${rest} more ${what}.`) : undefined}`;
}

export function formatEmpty(text: string): Html {
  return html`<p class="empty">${text}</p>`;
}

/** Links to the other pages of a table; nothing if there is one page. */
function formatPaging(query: PageQuery, table: PagedTable, rows: Rows<unknown>): Html | undefined {
  const { page, lastPage } = rows;
  if (lastPage === 1) return undefined;
  const link = (text: string, to: number): Html =>
    to < 1 || to > lastPage
      ? html`<span class="off">${text}</span>`
      : html`<a href="${formatPageLink(query, table, to)}">${text}</a>`;
  return html`<nav class="paging" aria-label="Pages of ${table}">${link('← Previous', page - 1)} <span>page ${page} of ${lastPage}</span> ${link('Next →', page + 1)}</nav>`;
}

/** The pod of a volume, with its target path on demand; the path alone, if no pod is known. */
export function formatOwnerCell({ pod, targetPath }: Pick<VolumeStatus, 'pod' | 'targetPath'>): Html {
  if (pod === undefined) return html`<bdi title="${targetPath}">${targetPath}</bdi>`;
  return html`<bdi title="${targetPath}"><span class="off">${pod.namespace}/</span><wbr>${pod.name}</bdi>`;
}

/** The start of a digest; all of it shows on demand. */
export function formatDigestCell(digest: string): Html {
  return html`<code title="${digest}">${formatDigest(digest, false)}</code>`;
}

export function formatTimeCell(now: number, at: number, never: string): Html {
  if (at === 0) return html`<span class="off">${never}</span>`;
  const iso = toDate(at).toISOString();
  return html`<time datetime="${iso}" title="${iso}">${formatAge(now - at)} ago</time>`;
}

/** A word for a state. Its kind gives its color; the word alone says it too. */
export function formatBadge(kind: 'good' | 'busy' | 'bad' | 'plain', text: string): Html {
  return html`<span class="badge ${kind}">${text}</span>`;
}

/**
 * A reference may be long: it wraps after each slash, and is isolated from the direction of the text around it. Of a
 * digest it shows the start.
 */
export function formatReferenceCell(reference: string): Html {
  const parts = reference.replace(/(@\w+:[0-9a-f]{12})[0-9a-f]{20,}$/, '$1…').split(/(?<=[/@])/);
  return html`<bdi class="reference" title="${reference}">${parts.map((part, nth) => (nth === 0 ? part : html`<wbr>${part}`))}</bdi>`;
}

export function formatBar(label: string, part: number, whole: number): Html {
  return html`<progress aria-label="${label}" value="${Math.round(Math.min(part, whole))}" max="${Math.max(whole, 1)}"></progress>`;
}
