import type { PrefetchState, PrefetchStatus } from '../../ports/prefetch.ts';
import { formatAge } from '../../util/words.ts';
import { formatBadge, formatDigestCell, formatReferenceCell, formatSection, formatTable } from './cells.ts';
import { type Html, html } from './html.ts';
import type { PageState } from './page-state.ts';

const most = 200;

const columns = [
  { heading: 'Artifact' },
  { heading: 'State' },
  { heading: 'Digest' },
  { heading: 'Next', kind: 'number' },
] as const;

const kinds = {
  waiting: 'plain',
  pulling: 'busy',
  ready: 'good',
  failed: 'bad',
  elsewhere: 'plain',
} as const satisfies Readonly<Record<PrefetchState, string>>;

/** The entries of --prefetch; nothing if there are none. */
export function formatPrefetch({ status: { prefetch }, now }: PageState): Html | undefined {
  if (prefetch.length === 0) return undefined;
  const rows = prefetch
    .slice(0, most)
    .map(entry => [
      formatReferenceCell(entry.reference),
      formatState(entry),
      entry.digest === undefined ? '–' : formatDigestCell(entry.digest),
      entry.nextAt === undefined ? '–' : `in ${formatAge(entry.nextAt - now)}`,
    ]);
  return formatSection(
    'prefetch',
    'Prefetch',
    prefetch.length,
    formatTable('Artifacts that this node has before a pod asks', columns, rows),
  );
}

function formatState({ state, problem }: PrefetchStatus): Html {
  const why = problem === undefined ? undefined : html`<div class="note"><bdi>${problem}</bdi></div>`;
  return html`${formatBadge(kinds[state], state)}${why}`;
}
