import type { FailingVolume } from '../../ports/failing-volume.ts';
import {
  formatBadge,
  formatEmpty,
  formatOwnerCell,
  formatReferenceCell,
  formatSection,
  formatTable,
  formatTimeCell,
} from './cells.ts';
import { type Html, type HtmlValue, html } from './html.ts';
import type { PageState } from './page-state.ts';

/** Volumes that are shown; the rest is counted. */
const most = 50;

const columns = [
  { heading: 'Pod' },
  { heading: 'Artifact' },
  { heading: 'Failed last', kind: 'number' },
  { heading: 'Times', kind: 'number' },
  { heading: 'Why' },
] as const;

/** The volumes that kubelet asks for, and that fail, oldest first; nothing if none does. */
export function formatFailing({ status: { failing }, now }: PageState): Html | undefined {
  if (failing.length === 0) return undefined;
  const rows = failing.slice(0, most).map(volume => toRow(volume, now));
  const rest = failing.length - rows.length;
  return formatSection(
    'failing',
    'Failing volumes',
    failing.length,
    html`${formatTable('Volumes that pods wait for, and that fail', columns, rows)}${rest > 0 ? formatEmpty(`${rest} more fail.`) : undefined}`,
  );
}

function toRow(volume: FailingVolume, now: number): readonly HtmlValue[] {
  const { reference, code, message, failedAt, failures } = volume;
  return [
    formatOwnerCell(volume),
    reference === '' ? '–' : formatReferenceCell(reference),
    formatTimeCell(now, failedAt, 'unknown'),
    failures,
    html`${formatBadge('bad', code)}<div class="note"><bdi>${message}</bdi></div>`,
  ];
}
