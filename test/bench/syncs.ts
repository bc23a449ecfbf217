import { globSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, waitUntil } from '../support/node/child.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { toolPath } from '../support/project/tools.ts';
import { image, lines } from './artifacts.ts';
import type { Contender } from './contender.ts';
import { untilRest } from './cost.ts';
import type { Course } from './race.ts';
import type { Pull, Row } from './rows.ts';

/** How often a contender waited for the disk, before it said that a pull is done, and after it, until it rests. */
export type Syncs = { readonly before: number; readonly after: number };

const probe = (kind: Row['kind'], make: Pull['make']): Row => ({
  kind,
  repository: `probe-${kind}`,
  front: {},
  floor: { connections: 1 },
  pulls: [{ name: `probe-${kind}`, title: '', make }],
  reads: [],
});

/** Little artifacts, one for each kind of work. */
export const probeRows: readonly Row[] = [
  probe('files', () => lines(4)),
  probe('gzip', () => image(['probe'], 100, 'gzip')),
  probe('zstd', () => image(['probe'], 100, 'zstd')),
  probe('image', () => image(['probe', 'top'], 100, 'gzip')),
];

const calls = 'fsync,fdatasync,syncfs,sync,msync';

/** Pulls the first tag of a course under strace. */
export async function countSyncs(
  { row, source, tags, disk: made }: Course,
  contender: Contender,
): Promise<Syncs> {
  await using traces = await temporaryDirectory();
  await using disk = await made.fresh();
  const strace = (name: string): readonly string[] => [
    '--follow-forks',
    '-qq',
    '-ttt',
    `--trace=${calls}`,
    `--output=${traces.path}/${name}`,
  ];
  const prefix = [toolPath('strace'), ...strace('commands')];
  await using running = await contender.open({ path: disk.path, source, row, tags, prefix });
  await using stack = new AsyncDisposableStack();
  for (const pid of running.pids) {
    const args = [...strace(String(pid)), `--attach=${pid}`];
    const tracer = await startChild(toolPath('strace'), args);
    stack.defer(async () => void (await tracer.end('SIGINT')));
    await waitUntil(
      tracer,
      () => /TracerPid:\t[1-9]/.test(readFileSync(`/proc/${pid}/status`, 'utf8')),
      'attached',
    );
  }
  const [tag] = tags;
  if (tag === undefined) throw new Error('nothing was pushed');
  await running.pull(tag);
  const done = Date.now() / 1000;
  if (running.pids.length > 0) await sleep(1000);
  await untilRest(running.pids);
  await stack.disposeAsync();
  const times = globSync(`${traces.path}/*`).flatMap(path => parseTrace(readFileSync(path, 'utf8')));
  const before = times.filter(time => time <= done).length;
  return { before, after: times.length - before };
}

/** The times of calls in the output of `strace -f -ttt`, in seconds; a call that was interrupted is two lines. */
export function parseTrace(text: string): readonly number[] {
  return text
    .split('\n')
    .flatMap(line => /^(?:\d+ +)?(?<time>\d+\.\d+) (?!<\.\.\.)\w+\(/.exec(line)?.groups?.['time'] ?? [])
    .map(Number);
}
