import type { DiskUsage } from '../../ports/disk.ts';
import { formatSize } from '../../util/size.ts';
import { formatDiskUsage, registrationWords } from '../../util/words.ts';
import { formatBadge, formatBar, formatSection } from './cells.ts';
import { type Html, type HtmlValue, html } from './html.ts';
import type { PageState } from './page-state.ts';

/** The state of the daemon, the disk, and what is wrong. */
export function formatNode({ status, volumes, nodeId }: PageState): Html {
  const { daemon, disk } = status;
  const notReady = daemon?.notReady ?? [];
  const problems = status.problems.filter(problem => !notReady.includes(problem));
  const mounted = volumes.filter(volume => volume.mounted).length;
  const facts: readonly (readonly [string, HtmlValue])[] = [
    ['Node', nodeId],
    ['Daemon', `${daemon?.driverName ?? ''} ${daemon?.version ?? ''}`],
    ['kubelet', daemon === undefined ? '' : registrationWords[daemon.registration]],
    ['Volumes', `${volumes.length}, ${mounted} mounted`],
    ['Content', html`${formatSize(status.cacheBytes)} in <code>${status.stateDir}</code>`],
    ['Disk', formatDisk(disk)],
    ...status.facts.map(fact => ['Facts', fact] as const),
  ];
  const state = notReady.length === 0 ? formatBadge('good', 'ready') : formatBadge('bad', 'not ready');
  return formatSection(
    'node',
    'Node',
    undefined,
    html`<p role="status">${state}</p>
${formatProblems('Not ready', notReady)}${formatProblems('Broken configuration and other problems', problems)}<dl>${facts.map(
      ([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`,
    )}</dl>`,
  );
}

function formatProblems(heading: string, problems: readonly string[]): Html | undefined {
  if (problems.length === 0) return undefined;
  return html`<div class="problems"><h3>${heading}</h3><ul>${problems.map(problem => html`<li><bdi>${problem}</bdi></li>`)}</ul></div>
`;
}

function formatDisk(disk: DiskUsage): Html {
  const { totalBytes, availableBytes } = disk;
  return html`${formatBar('Disk in use', totalBytes - availableBytes, totalBytes)} ${formatDiskUsage(disk)}`;
}
