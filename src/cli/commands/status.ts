import type { FailingVolume } from '../../ports/failing-volume.ts';
import type { DaemonStatus } from '../../ports/node-status.ts';
import type { PrefetchState, PrefetchStatus } from '../../ports/prefetch.ts';
import type { PullStatus, Wanter } from '../../ports/usecases.ts';
import { isLoaded } from '../../util/late-text.ts';
import { formatSize } from '../../util/size.ts';
import { version } from '../../util/version.ts';
import { formatAge, formatCount, formatDiskUsage, registrationWords } from '../../util/words.ts';
import { print, toTimestamp } from '../output.ts';
import type { Shell } from '../shell.ts';
import { formatTable, type TableHeader } from '../table.ts';
import { formatFields, formatLines } from '../text.ts';

const header: TableHeader = {
  REFERENCE: 'key',
  PHASE: 'fixed',
  PULLED: 'fixed',
  RATE: 'spare',
  AGE: 'spare',
  FOR: 'spare',
};

/** Shows the state of the daemon and its node, the volumes that fail, and the pulls in progress, oldest first. */
export async function status(shell: Shell): Promise<void> {
  const { artifacts } = shell.backend;
  const [node, volumes, found] = await Promise.all([
    artifacts.status(),
    artifacts.volumes(),
    artifacts.pulls(),
  ]);
  const pulls = found.toSorted((a, b) => a.since - b.since);
  const mounted = volumes.filter(volume => volume.mounted).length;
  const loading = volumes.filter(({ loading: late }) => late && !isLoaded(late)).length;
  const waiting = pulls.flatMap(pull =>
    pull.progress.waits === undefined ? [] : [`${referencesOf(pull)}: ${pull.progress.waits}`],
  );
  const notReady = node.daemon?.notReady ?? [];
  const problems = node.problems.filter(problem => !notReady.includes(problem));
  const now = shell.terminal.now();
  await print(shell, {
    value: {
      client: { version },
      ...node,
      prefetch: node.prefetch.map(({ nextAt, ...entry }) => ({
        ...entry,
        ...(nextAt === undefined ? {} : { nextAt: toTimestamp(nextAt) }),
      })),
      failing: node.failing.map(({ since, failedAt, ...volume }) => ({
        ...volume,
        since: toTimestamp(since),
        failedAt: toTimestamp(failedAt),
      })),
      volumes: { published: volumes.length, mounted, loading },
      pulls: pulls.map(pull => ({ ...pull, since: toTimestamp(pull.since) })),
    },
    text: () =>
      formatFields([
        ['client', version],
        ...formatDaemon(node.daemon),
        ['state directory', `${node.stateDir}, ${formatSize(node.cacheBytes)} of content`],
        ['disk', formatDiskUsage(node.disk)],
        [
          'volumes',
          `${volumes.length}, ${mounted} mounted${loading === 0 ? '' : `, ${loading} still loading`}`,
        ],
        ...node.failing.map(volume => ['failing', formatFailing(volume, now)] as const),
        ...node.facts.map(fact => ['node', fact] as const),
        // Problems that affect readiness are shown above.
        ...problems.map(problem => ['problem', problem] as const),
        ...(node.prefetch.length === 0 ? [] : [['prefetch', formatPrefetch(node.prefetch)] as const]),
        ...node.prefetch.flatMap(({ state, problem }) => {
          const what = state === 'waiting' ? '' : 'failed: ';
          return problem === undefined ? [] : [['prefetch', `${what}${problem}`] as const];
        }),
        ['pulls', pulls.length === 0 ? 'none under way' : `${pulls.length} under way`],
      ]) +
      (pulls.length === 0
        ? ''
        : formatTable(
            header,
            pulls.map(pull => toRow(pull, now)),
            shell.columns,
          )) +
      formatLines(waiting),
    names: pulls.map(referencesOf),
  });
}

/** `shop/web-0: registry.example.com/models/tiny:2 (40s ago, 12 times): …`. */
function formatFailing(volume: FailingVolume, now: number): string {
  const { pod, targetPath, reference, message, failedAt, failures } = volume;
  const owner = pod === undefined ? targetPath : `${pod.namespace}/${pod.name}`;
  const named = reference === '' ? 'no reference' : reference;
  const when = `${formatAge(now - failedAt)} ago, ${formatCount(failures, 'time')}`;
  return `${owner}: ${named} (${when}): ${message}`;
}

type Field = readonly [name: string, value: string];

function formatDaemon(daemon: DaemonStatus | undefined): readonly Field[] {
  if (daemon === undefined) return [['daemon', 'none; the state directory is used directly']];
  const { driverName, notReady, registration } = daemon;
  return [
    ['daemon', `${daemon.version}, ${driverName}, ${notReady.length === 0 ? 'ready' : 'not ready'}`],
    ...notReady.map(reason => ['not ready', reason] as const),
    ['kubelet', registrationWords[registration]],
  ];
}

const states: readonly (readonly [PrefetchState, string])[] = [
  ['pulling', 'being pulled'],
  ['waiting', 'waiting'],
  ['failed', 'failed'],
  ['elsewhere', 'for other nodes'],
];

/** `2 of 5 in the cache, 1 being pulled, 2 waiting`. */
function formatPrefetch(entries: readonly PrefetchStatus[]): string {
  const count = (state: PrefetchState): number => entries.filter(entry => entry.state === state).length;
  const others = states.flatMap(([state, words]) => (count(state) === 0 ? [] : [`${count(state)} ${words}`]));
  return [`${count('ready')} of ${entries.length} in the cache`, ...others].join(', ');
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
  if (kind === 'prefetch') return 'prefetch';
  if (kind === 'pod') return targetPath ?? 'a pod';
  return targetPath === undefined ? 'pull' : `mount ${targetPath}`;
}

function unique(texts: readonly string[]): string {
  return [...new Set(texts)].join(', ');
}
