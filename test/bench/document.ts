import type { Machine } from './machine.ts';
import type { Entrant, Figure, Race, Report } from './report.ts';
import { type Goal, judge, nearFloor, type Ratio, type Standing } from './standing.ts';
import { formatValue } from './table.ts';

/** The report as docs/performance.md. */
export function toDocument(report: Report): string {
  const { contenders, races, figures, turns } = report;
  return `# Performance

${describeRun(report)} \`npm run bench -- --record\` wrote this page, from what is in [performance.json](performance.json).

![The wall times of all pulls](performance.svg)

## How it is measured

- **In turns** (${turns}): each contender pulls the same artifact from the same CNCF distribution registry on loopback, and each turn begins with another contender. The tables have the median, and the range in brackets. A ratio is the median of the ratios of the turns.
- **The disk** is an ext4 that was made just before each pull, in one file that was written in full before the first, by a loop device without a page cache of its own. So nothing was deleted on it, and nobody gets blocks or inodes of another.
- **The memory** is used and freed just before each pull, because some virtual machines hand free memory back to their host, and whoever uses it again waits.
- **The caches.** The content of the registry is in the page cache. The contender has nothing of the artifact. Daemons have started, and have pulled nothing yet; commands start within the time that is measured.
- **On the disk** is the time until \`sync\` of the filesystem was done, too, which makes those that wait for the disk comparable with those that do not.
- **CPU** is the user and system time of all processes of the contender, with what a daemon does after its answer, until it rests. The **registry** is apart; on two cores it takes them from everybody. **Peak** is the most memory of one process, in MB.
- **Floors** are a client that receives on as many connections as measured best and drops everything in the kernel, and one that also verifies the digests and writes the blobs, and does not unpack them. No client can be much faster on this machine, so a goal also counts as reached by what needs at most ${nearFloor} times as much as the second floor.
- **Everything is there**: after each pull the files and their bytes are counted. Where a pull makes files, \`cat\` then reads them all: each contender's right after its pull, or, where a row says so, after the caches of the kernel were emptied.

## Who takes part

${toRows(['', 'version', 'makes', 'waits for the disk'], contenders.filter(({ kind }) => kind !== 'floor').map(formatEntrant))}

\`strace\` counted the calls that wait for the disk (fsync, fdatasync, syncfs, sync, msync) of a pull of a few files. ${describeAbsent(report.absent)}

## Pulls

${races
  .filter(({ kind }) => kind === 'pull')
  .map(race => formatRace(race, contenders, pullColumns))
  .join('\n\n')}

## Reading

${races
  .filter(({ kind }) => kind === 'read')
  .map(race => formatRace(race, contenders, readColumns))
  .join('\n\n')}

## From the cache, and at rest

${toRows(['', '', 'floor', 'at most'], figures.map(formatFigure))}
`;
}

function describeAbsent(absent: readonly string[]): string {
  const reasons = [
    ...absent.map(name => `${name}, which is not installed`),
    "podman, because Debian's has no `podman artifact` yet",
    "containerd's EROFS snapshotter, which needs a newer `mkfs.erofs` than Debian's",
  ];
  return `Not measured: ${reasons.join('; ')}.`;
}

/** One sentence: when, how and where. */
export function describeRun(report: Report): string {
  return `Measured on ${formatDay(report)} by \`${report.command}\`, on ${describe(report.machine)}.`;
}

export function captionOf(report: Report): readonly string[] {
  return [`${formatDay(report)}, ${report.command}`, describe(report.machine)];
}

function formatDay({ date }: Report): string {
  return new Date(date).toLocaleDateString('en-GB', { dateStyle: 'long', timeZone: 'UTC' });
}

function describe({ cpu, cores, memory, kernel, node, isVirtual, load }: Machine): string {
  const kind = isVirtual ? 'a virtual machine' : 'a machine';
  const other = load < 0.5 ? 'idle' : `busy with other work (load average ${load})`;
  return `${kind} with ${cores} cores of ${cpu}, ${memory} GB of memory, Linux ${kernel} and Node ${node}, ${other}`;
}

function formatEntrant({ name, version, makes, syncs }: Entrant): readonly string[] {
  const { before, after } = syncs;
  const late =
    after === 0 ? '' : before === 0 ? `only after it: ${after} calls` : `; ${after} calls after it`;
  return [name, version, makes, before === 0 ? late || 'no' : `${before} calls${late}`];
}

type Column = readonly [head: string, cell: (standing: Standing, race: Race) => string];

const readColumns: readonly Column[] = [
  ['wall s', ({ entrant, wall }, race) => `${wall.toFixed(2)} (${formatRange(race, entrant)})`],
  ['CPU s', ({ cpu }) => cpu.toFixed(2)],
];

const pullColumns: readonly Column[] = [
  ...readColumns,
  ['registry CPU s', ({ registry }) => registry.toFixed(2)],
  ['on the disk s', ({ durable }) => durable.toFixed(2)],
  ['peak MB', ({ peak }) => peak.toFixed(0)],
];

function formatRange({ runs }: Race, { name }: Entrant): string {
  const walls = runs.filter(({ contender }) => contender === name).map(({ wall }) => wall);
  return `${Math.min(...walls).toFixed(2)} to ${Math.max(...walls).toFixed(2)}`;
}

function formatRace(race: Race, entrants: readonly Entrant[], columns: readonly Column[]): string {
  const { ours, rivals, floors, wall, cpu, goals } = judge(race, entrants);
  const names = {
    ours: (name: string) => `**${name}**`,
    rival: (name: string) => name,
    floor: (name: string) => `*floor: ${name}*`,
  };
  const rows = [ours, ...rivals, ...floors].map(standing => [
    names[standing.entrant.kind](standing.entrant.name),
    ...columns.map(([, cell]) => cell(standing, race)),
  ]);
  return `### ${race.title}

${toRows(['', ...columns.map(([head]) => head)], rows)}

Ratio to ${rivals[0]?.entrant.name}: wall ${formatRatio(wall)}, CPU ${formatRatio(cpu)}. ${goals.map(formatGoal).join(' ')}`.trimEnd();
}

function formatGoal({ what, bar, metBy }: Goal): string {
  const result = {
    ratio: 'reached',
    floor: `reached (at most ${nearFloor} times the floor)`,
    none: 'missed',
  };
  return `The goal for ${what === 'cpu' ? 'CPU' : 'wall'} is ${bar}: ${result[metBy ?? 'none']}.`;
}

function formatRatio({ median, least, most }: Ratio): string {
  if (!Number.isFinite(median)) return 'unknown'; // too short to measure
  return `${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`;
}

function formatFigure({ row, what, value, unit, floor, most }: Figure): readonly string[] {
  return [
    `${row}: ${what}`,
    formatValue(value, unit),
    floor === undefined ? '' : `${formatValue(floor.value, unit)}: ${floor.what}`,
    most === undefined ? '' : `${formatValue(most, unit)}${value <= most ? '' : ': missed'}`,
  ];
}

function toRows(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
