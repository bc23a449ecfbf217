import type { FailingVolume } from '../../ports/failing-volume.ts';
import {
  formatBadge,
  formatFirstRows,
  formatOwnerCell,
  formatReferenceCell,
  formatSection,
  formatTimeCell,
} from './cells.ts';
import { type Html, type HtmlValue, html } from './html.ts';
import type { PageState } from './page-state.ts';

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
  const table = formatFirstRows(failing, {
    caption: 'Volumes that pods wait for, and that fail',
    columns,
    toCells: volume => toRow(volume, now),
    what: 'fail',
  });
  return formatSection('failing', 'Failing volumes', failing.length, table);
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
