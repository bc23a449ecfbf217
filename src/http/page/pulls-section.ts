import type { LayerProgress, Progress, PullStatus, Wanter } from '../../ports/usecases.ts';
import { formatSize } from '../../util/size.ts';
import { formatAge } from '../../util/words.ts';
import {
  formatBadge,
  formatBar,
  formatEmpty,
  formatFirstRows,
  formatReferenceCell,
  formatSection,
} from './cells.ts';
import { type Html, html } from './html.ts';
import type { PageState } from './page-state.ts';

/** Callers and layers that are shown; the rest is counted. */
const mostNames = 5;

const columns = [
  { heading: 'Artifact' },
  { heading: 'Progress' },
  { heading: 'Rate', kind: 'number' },
  { heading: 'Left', kind: 'number' },
  { heading: 'Since', kind: 'number' },
  { heading: 'For' },
] as const;

/** The pulls in progress, oldest first. */
export function formatPulls({ pulls, now }: PageState): Html {
  const table = {
    caption: 'Pulls in progress',
    columns,
    toCells: (pull: PullStatus) => toRow(pull, now),
    what: 'are under way',
  };
  const body = pulls.length === 0 ? formatEmpty('None is under way.') : formatFirstRows(pulls, table);
  return formatSection('pulls', 'Pulls', pulls.length, body);
}

function toRow({ progress, wanters, since }: PullStatus, now: number): readonly Html[] {
  const { bytes, totalBytes, bytesPerSecond, phase } = progress;
  const isDownload = phase === 'download' && bytesPerSecond > 0;
  const leftMs = ((totalBytes - bytes) / bytesPerSecond) * 1000;
  return [
    html`${listOf(wanters.map(({ reference }) => reference)).map(text => html`<div>${formatReferenceCell(text)}</div>`)}`,
    formatProgress(progress),
    html`${isDownload ? `${formatSize(bytesPerSecond)}/s` : '–'}`,
    html`${isDownload ? formatAge(leftMs) : '–'}`,
    html`${formatAge(now - since)}`,
    html`${listOf(wanters.map(formatWanter)).map(text => html`<div><bdi>${text}</bdi></div>`)}`,
  ];
}

function formatProgress({ phase, bytes, totalBytes, layers, totalLayers, current, waits }: Progress): Html {
  const size =
    totalBytes === 0
      ? undefined
      : html`${formatBar('Downloaded', bytes, totalBytes)} ${formatSize(bytes)} of ${formatSize(totalBytes)}, ${layers} of ${totalLayers} layers`;
  const details =
    current === undefined || current.length === 0
      ? undefined
      : html`<ul class="layers">${current.slice(0, mostNames).map(formatLayer)}</ul>`;
  const waiting = waits === undefined ? undefined : html`<div class="note"><bdi>${waits}</bdi></div>`;
  return html`${formatBadge('busy', phase)} ${size}${details}${waiting}`;
}

function formatLayer({ name, bytes, totalBytes }: LayerProgress): Html {
  return html`<li>${formatBar(name, bytes, totalBytes)} <bdi>${name}</bdi></li>`;
}

function formatWanter({ kind, pod, targetPath }: Wanter): string {
  if (pod !== undefined) return `${pod.namespace}/${pod.name}`;
  if (kind === 'prefetch') return 'prefetch';
  return targetPath ?? (kind === 'pod' ? 'a pod' : 'a command');
}

/** Each text once, and the number of those that are left out. */
function listOf(texts: readonly string[]): readonly string[] {
  const all = [...new Set(texts)];
  const rest = all.length - mostNames;
  return rest > 0 ? [...all.slice(0, mostNames), `and ${rest} more`] : all;
}
