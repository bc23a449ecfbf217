import type { ArtifactSummary, VolumeStatus } from '../../ports/usecases.ts';
import { formatSize } from '../../util/size.ts';
import { formatCount } from '../../util/words.ts';
import {
  formatBadge,
  formatDigestCell,
  formatPagedSection,
  formatReferenceCell,
  formatTimeCell,
} from './cells.ts';
import { type Html, type HtmlValue, html } from './html.ts';
import type { PageState } from './page-state.ts';
import type { PageQuery } from './query.ts';

/** Pods that are named beside an artifact; the rest is counted. */
const mostPods = 3;

const columns = [
  { heading: 'Artifact' },
  { heading: 'Digest' },
  { heading: 'Type' },
  { heading: 'Size', kind: 'number' },
  { heading: 'Last used', kind: 'number' },
  { heading: 'Held by' },
  { heading: 'Verified', kind: 'number' },
] as const;

/** The cache by artifact, the last used first. */
export function formatArtifacts({ artifacts, volumes, now }: PageState, query: PageQuery): Html {
  const users = Map.groupBy(volumes, ({ resolved, digest }) => `${resolved} ${digest}`);
  const toCells = (artifact: ArtifactSummary): readonly HtmlValue[] => [
    formatReferenceCell(artifact.reference),
    formatDigestCell(artifact.digest),
    artifact.artifactType || '–',
    formatSize(artifact.bytes),
    formatTimeCell(now, artifact.usedAt, 'unknown'),
    formatHolders(artifact, users.get(`${artifact.reference} ${artifact.digest}`) ?? []),
    formatTimeCell(now, artifact.verifiedAt, 'not since a crash'),
  ];
  const section = {
    table: 'artifacts',
    heading: 'Cache',
    caption: 'Cached artifacts',
    columns,
    none: 'Nothing is cached yet.',
    textOf,
    toCells,
  } as const;
  return formatPagedSection(section, artifacts, query);
}

function textOf({ reference, digest, artifactType }: ArtifactSummary): string {
  return `${reference} ${digest} ${artifactType}`;
}

/** What keeps an artifact from garbage collection. */
function formatHolders({ pinned, volumes }: ArtifactSummary, users: readonly VolumeStatus[]): Html {
  if (!pinned && volumes === 0) return html`<span class="off">nothing</span>`;
  const pods = users.flatMap(({ pod }) => (pod === undefined ? [] : [`${pod.namespace}/${pod.name}`]));
  const named = [...new Set(pods)].slice(0, mostPods);
  const more = volumes > named.length && named.length > 0 ? html`<div class="off">and more</div>` : undefined;
  const counted = volumes === 0 ? undefined : html`<div>${formatCount(volumes, 'volume')}</div>`;
  return html`${pinned ? formatBadge('plain', 'pinned') : undefined}${counted}${named.map(
    name => html`<div class="note"><bdi>${name}</bdi></div>`,
  )}${more}`;
}
