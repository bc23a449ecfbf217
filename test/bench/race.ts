import { globSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { runProgram } from '../support/os/program.ts';
import type { Contender, Content } from './contender.ts';
import { cpuOf, peakMemoryOf, untilRest } from './cost.ts';
import type { DiskImage } from './disk.ts';
import type { Row } from './rows.ts';
import type { Pushed, Source } from './source.ts';

/**
 * One pull, in seconds. `durable`: until it was also on the disk. `cpu`: of the contender, with what it does after the
 * pull; `registry`: of the registry. `peak`: the most memory of one of its processes, in MB.
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
  readonly tags: readonly Pushed[];
  readonly disk: DiskImage;
  /** The memory to touch before each pull. */
  readonly warmMebibytes: number;
};

/**
 * Lets each contender pull all steps of a row, in turns that each begin with another one, on a filesystem that was made
 * just before.
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
  for (const [at, step] of row.steps.entries()) {
    const tag = tags[at];
    if (tag === undefined) throw new Error(`${step.name} was not pushed`);
    await untilRest(running.pids);
    runProgram('sync', '--file-system', disk.path);
    warmMemory(course.warmMebibytes);
    const spent = (): number => running.pids.reduce((sum, pid) => sum + cpuOf(pid), 0);
    const [cpu, registry, start] = [spent(), source.cpu(), performance.now()];
    const { usage, content } = await running.pull(tag);
    const wall = (performance.now() - start) / 1000;
    const sent = source.cpu() - registry;
    runProgram('sync', '--file-system', disk.path);
    const durable = (performance.now() - start) / 1000;
    await untilRest(running.pids);
    if (content !== undefined) verify(`${contender.name}, ${step.name}`, content);
    runs.push({
      step: step.name,
      contender: contender.name,
      turn,
      wall,
      durable,
      cpu: usage.cpu + spent() - cpu,
      registry: sent,
      peak: Math.max(usage.peak, ...running.pids.map(peakMemoryOf)),
    });
  }
  return runs;
}

/**
 * Uses memory and frees it. Some virtual machines give free memory back to their host, and then a page that is used
 * again is slow: who comes after a big deletion would win.
 */
function warmMemory(mebibytes: number): void {
  if (mebibytes === 0) return;
  const script =
    'for (let left = Number(process.argv[1]), kept = []; left > 0; left -= 256) kept.push(Buffer.alloc(256 << 20, 1));';
  runProgram(process.execPath, '--eval', script, String(mebibytes));
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
