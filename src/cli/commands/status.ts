import { printable } from '../../util/printable.ts';
import { formatSize } from '../../util/size.ts';
import type { PullStatus } from '../../volume/usecases.ts';
import type { Wanter } from '../../volume/wanter.ts';
import { formatTime } from '../output.ts';
import { print, type Shell } from '../shell.ts';
import { formatAge, formatTable } from '../text.ts';

const header = ['REFERENCE', 'PHASE', 'PULLED', 'RATE', 'AGE', 'FOR'];

/** The pulls under way, the oldest first; and below, what each of them waits for. */
export async function status(shell: Shell): Promise<void> {
  const found = await shell.house.artifacts.pulls();
  const sorted = found.toSorted((a, b) => a.since - b.since);
  const now = shell.terminal.now();
  const waiting = sorted.flatMap(pull =>
    pull.progress.waits === undefined ? [] : [`${referencesOf(pull)}: ${pull.progress.waits}`],
  );
  const rows = sorted.map(pull => toRow(pull, now));
  print(shell, {
    value: sorted.map(pull => ({ ...pull, since: formatTime(pull.since) })),
    text: () =>
      formatTable(header, rows, shell.columns) + waiting.map(line => `${printable(line)}\n`).join(''),
    names: sorted.map(referencesOf),
  });
}

function toRow(pull: PullStatus, now: number): readonly string[] {
  const { phase, bytes, totalBytes, bytesPerSecond } = pull.progress;
  return [
    referencesOf(pull),
    phase,
    totalBytes === 0 ? '-' : `${formatSize(bytes)} of ${formatSize(totalBytes)}`,
    phase === 'download' ? `${formatSize(bytesPerSecond)}/s` : '-',
    formatAge(now - pull.since),
    unique(pull.wanters.map(formatWanter)),
  ];
}

function referencesOf({ wanters }: PullStatus): string {
  return unique(wanters.map(({ reference }) => reference));
}

function formatWanter({ kind, pod, targetPath }: Wanter): string {
  if (pod !== undefined) return `${pod.namespace}/${pod.name}`;
  if (kind === 'pod') return targetPath ?? 'a pod';
  return targetPath === undefined ? 'pull' : `mount ${targetPath}`;
}

function unique(texts: readonly string[]): string {
  return [...new Set(texts)].join(', ');
}
