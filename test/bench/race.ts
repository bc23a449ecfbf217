import { globSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { runProgram } from '../support/os/program.ts';
import { cacheBlobs, dropCaches, warmMemory } from './conditions.ts';
import type { Contender, Content, Running } from './contender.ts';
import { cpuOf, peakMemoryOf, runTimed, untilRest } from './cost.ts';
import type { Disk, DiskImage } from './disk.ts';
import type { Reading, Row, Step } from './rows.ts';
import type { Pushed, Source } from './source.ts';

/**
 * One pull, or one reading, in seconds. `durable`: until it was also on the disk. `cpu`: of the contender, with what it
 * does after the pull; `registry`: of the registry. `peak`: the most memory of one of its processes, in MB.
 */
export type Run = {
  readonly step: string;
  readonly contender: string;
  readonly turn: number;
  readonly wall: number;
  readonly durable: number;
  readonly cpu: number;
  readonly registry: number;
  readonly peak: number;
};

export type Course = {
  readonly row: Row;
  readonly source: Source;
  /** The directory of the registry. */
  readonly content: string;
  readonly tags: readonly Pushed[];
  readonly disk: DiskImage;
  /** The memory to touch before each pull. */
  readonly warmMebibytes: number;
};

/**
 * Lets each contender pull the tags of a row, on a filesystem that was made just before, and reads what is there then.
 * Each turn begins with another contender.
 *
 * @throws if one of them did not bring everything.
 */
export async function race(
  course: Course,
  contenders: readonly Contender[],
  turns: number,
): Promise<readonly Run[]> {
  const runs: Run[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const from = turn % contenders.length;
    for (const contender of [...contenders.slice(from), ...contenders.slice(0, from)])
      runs.push(...(await runOnce(course, contender, turn)));
  }
  return runs;
}

async function runOnce(course: Course, contender: Contender, turn: number): Promise<readonly Run[]> {
  const { row, source, tags } = course;
  await using disk = await course.disk.fresh();
  await using running = await contender.open({ path: disk.path, source, row, tags, prefix: [] });
  const runs: Run[] = [];
  const add = (step: Step, measured: Omit<Run, 'step' | 'contender' | 'turn'>): void =>
    void runs.push({ step: step.name, contender: contender.name, turn, ...measured });
  let content: Content | undefined;
  for (const [at, step] of row.pulls.entries()) {
    const tag = tags[at];
    if (tag === undefined) throw new Error(`${step.name} was not pushed`);
    const pulled = await measurePull(course, running, tag, disk);
    content = pulled.content;
    if (content !== undefined) verify(`${contender.name}, ${step.name}`, content);
    add(step, pulled.measured);
  }
  if (content === undefined || !['a volume', 'files'].includes(contender.makes)) return runs;
  for (const step of row.reads) add(step, await measureRead(course, step, disk, content.directory));
  return runs;
}

async function measurePull(course: Course, running: Running, tag: Pushed, disk: Disk) {
  const { pids } = running;
  const spent = (): number => pids.reduce((sum, pid) => sum + cpuOf(pid), 0);
  await untilRest(pids);
  sync(disk);
  cacheBlobs(course.content, tag.layers);
  warmMemory(course.warmMebibytes);
  const [cpu, registry, start] = [spent(), course.source.cpu(), performance.now()];
  const { usage, content } = await running.pull(tag);
  const wall = secondsSince(start);
  const sent = course.source.cpu() - registry;
  sync(disk);
  const durable = secondsSince(start);
  await untilRest(pids);
  const peak = Math.max(usage.peak, ...pids.map(peakMemoryOf));
  return { content, measured: { wall, durable, cpu: usage.cpu + spent() - cpu, registry: sent, peak } };
}

/** Reads all files below a directory once, one after the other. */
async function measureRead(
  { warmMebibytes }: Course,
  { isCold = false }: Reading,
  disk: Disk,
  directory: string,
) {
  warmMemory(warmMebibytes);
  sync(disk);
  if (isCold) dropCaches();
  const start = performance.now();
  const script = 'find . -type f -exec cat {} + > /dev/null';
  const { cpu, peak } = await runTimed(['bash', '-c', script], { cwd: directory, env: process.env });
  const wall = secondsSince(start);
  return { wall, durable: wall, cpu, registry: 0, peak };
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}

function sync({ path }: Disk): void {
  runProgram('sync', '--file-system', path);
}

/** @throws if there are fewer files or bytes in a directory. */
function verify(what: string, { directory, files, bytes }: Content): void {
  const found = globSync('**', { cwd: directory })
    .map(path => lstatSync(join(directory, path)))
    .filter(stats => stats.isFile());
  const size = found.reduce((sum, stats) => sum + stats.size, 0);
  if (found.length < files || size < bytes)
    throw new Error(`${what}: ${found.length} files with ${size} bytes, instead of ${files} with ${bytes}`);
}
