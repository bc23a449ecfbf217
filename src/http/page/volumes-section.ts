import type { VolumeStatus } from '../../ports/usecases.ts';
import { formatLate } from '../../util/late-text.ts';
import { formatSize } from '../../util/size.ts';
import {
  formatBadge,
  formatDigestCell,
  formatOwnerCell,
  formatPagedSection,
  formatReferenceCell,
  formatTimeCell,
} from './cells.ts';
import { type Html, type HtmlValue, html } from './html.ts';
import type { PageState } from './page-state.ts';
import type { PageQuery } from './query.ts';

const columns = [
  { heading: 'Pod' },
  { heading: 'Artifact' },
  { heading: 'Digest' },
  { heading: 'Size', kind: 'number' },
  { heading: 'Published', kind: 'number' },
  { heading: 'State' },
] as const;

/** Which artifact each pod has. */
export function formatVolumes({ volumes, now }: PageState, query: PageQuery): Html {
  const toCells = (volume: VolumeStatus): readonly HtmlValue[] => [
    formatOwnerCell(volume),
    formatReferenceCell(volume.reference),
    formatDigestCell(volume.digest),
    formatSize(volume.bytes),
    formatTimeCell(now, volume.publishedAt, 'unknown'),
    formatState(volume),
  ];
  const section = {
    table: 'volumes',
    heading: 'Volumes',
    caption: 'Volumes and their pods',
    columns,
    none: 'No pod of this node has one.',
    textOf,
    toCells,
  } as const;
  return formatPagedSection(section, volumes, query);
}

function textOf({ pod, reference, digest, targetPath }: VolumeStatus): string {
  return `${pod?.namespace ?? ''}/${pod?.name ?? ''} ${reference} ${digest} ${targetPath}`;
}

function formatState({ mounted, damaged, refused, loading }: VolumeStatus): Html {
  const state = mounted ? formatBadge('good', 'mounted') : formatBadge('plain', 'not mounted');
  const wrong = damaged === undefined ? undefined : formatWrong('damaged', damaged);
  const denied = refused === undefined ? undefined : formatWrong('refused now', refused);
  const late = loading && html` <div class="note"><bdi>${formatLate(loading)}</bdi></div>`;
  return html`${state}${wrong}${denied}${late}`;
}

function formatWrong(word: string, why: string): Html {
  return html` ${formatBadge('bad', word)}<div class="note"><bdi>${why}</bdi></div>`;
}
