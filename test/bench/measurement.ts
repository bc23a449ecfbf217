import { mkdirSync, readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { join } from 'node:path';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { findTool } from '../support/project/tools.ts';
import { startRealRegistry } from '../support/registry/real-registry.ts';
import { measureCached } from './cached.ts';
import { listContenders } from './contenders/contenders.ts';
import { makeDiskImage } from './disk.ts';
import { describeMachine } from './machine.ts';
import { pushArtifact } from './push.ts';
import { type Course, race } from './race.ts';
import type { Entrant, Figure, Race, Report } from './report.ts';
import { measureRest } from './rest.ts';
import { type Row, rows } from './rows.ts';
import { measureScale } from './scale.ts';
import { measureShared } from './shared.ts';
import { openSource, type Pushed } from './source.ts';
import { countSyncs, probeRows } from './syncs.ts';

export type Plan = {
  /** The driver's build, and another one to compare with. */
  readonly program: string;
  readonly against?: string | undefined;
  readonly command: string;
  readonly turns: number;
  /** The names of rows; none means all. */
  readonly wanted: readonly string[];
  readonly small: boolean;
};

const figures: Readonly<Record<string, (plan: Plan) => Promise<readonly Figure[]>>> = {
  cached: ({ program, small }) => measureCached(program, small ? 20 : 500),
  rest: ({ program, small }) => measureRest(program, small ? 100 : 5000),
  scale: ({ program, small }) => measureScale(program, small ? 20 : 1000),
  shared: ({ program, small }) => measureShared(program, small ? 64 : 256),
};

/** What can be wanted. */
export const rowNames: readonly string[] = [
  ...rows(false).flatMap(({ pulls, reads }) => [...pulls, ...reads].map(({ name }) => name)),
  ...Object.keys(figures),
];

/** Measures everything that is wanted; `tell` gets a line for each part, because all of it takes a while. */
export async function measure(plan: Plan, tell: (line: string) => void): Promise<Report> {
  const machine = describeMachine();
  const date = new Date().toISOString().slice(0, 10);
  const isWanted = (name: string): boolean => plan.wanted.length === 0 || plan.wanted.includes(name);
  const found: Figure[] = [];
  for (const [name, measureFigures] of Object.entries(figures)) {
    if (!isWanted(name)) continue;
    tell(name);
    found.push(...(await measureFigures(plan)));
  }
  const raced = await measureRaces(
    plan,
    rows(plan.small).filter(({ pulls, reads }) => [...pulls, ...reads].some(({ name }) => isWanted(name))),
    tell,
  );
  return { date, command: plan.command, machine, turns: plan.turns, ...raced, figures: found };
}

async function measureRaces(
  plan: Plan,
  wanted: readonly Row[],
  tell: (line: string) => void,
): Promise<Pick<Report, 'contenders' | 'absent' | 'races'>> {
  if (wanted.length === 0) return { contenders: [], absent: [], races: [] };
  await using directory = await temporaryDirectory();
  const content = join(directory.path, 'content');
  mkdirSync(content);
  const disk = makeDiskImage(directory.path, plan.small ? 256 : 6144);
  const warmMebibytes = plan.small ? 0 : Math.min(2560, Math.floor(freemem() / 2 ** 21));
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly version: string;
  };
  const listed = listContenders(version, plan.program, plan.against);
  const field = listed.filter(({ programs }) => programs.every(name => findTool(name) !== undefined));
  const absent = listed.filter(contender => !field.includes(contender)).map(({ name }) => name);
  for (const name of absent) tell(`not installed, so it does not take part: ${name}`);
  const pushed = await pushAll(content, [...wanted, ...probeRows], tell);

  /** Lets work be done with the registry of a row. */
  async function on<T>(row: Row, work: (course: Course) => Promise<T>): Promise<T> {
    await using source = await openSource(content, row.repository, row.front);
    return await work({ row, source, content, tags: pushed.get(row.repository) ?? [], disk, warmMebibytes });
  }

  const contenders: Entrant[] = [];
  for (const contender of field) {
    const { name, kind, makes } = contender;
    const row = probeRows.find(contender.takes);
    if (row === undefined || !wanted.some(contender.takes)) continue;
    const syncs =
      kind === 'floor' ? { before: 0, after: 0 } : await on(row, course => countSyncs(course, contender));
    contenders.push({ name, kind, version: contender.version(), makes, syncs });
  }
  const races: Race[] = [];
  for (const row of wanted) {
    tell(row.pulls.map(({ name }) => name).join(', '));
    const runs = await on(row, course =>
      race(
        course,
        field.filter(contender => contender.takes(row)),
        plan.turns,
      ),
    );
    for (const step of [...row.pulls, ...row.reads]) {
      const { name, title, bar } = step;
      const own = runs.filter(run => run.step === name).map(({ step: _, ...run }) => run);
      const kind = row.reads.includes(step) ? 'read' : 'pull';
      races.push({ kind, name, title, ...(bar && { bar }), runs: own });
    }
  }
  return { contenders, absent, races };
}

/** Pushes the tags of all repositories, the first to the last of each. */
async function pushAll(
  content: string,
  wanted: readonly Row[],
  tell: (line: string) => void,
): Promise<ReadonlyMap<string, readonly Pushed[]>> {
  await using registry = await startRealRegistry(undefined, undefined, content);
  const pushed = new Map<string, readonly Pushed[]>();
  for (const { repository, pulls } of wanted) {
    if (pushed.has(repository)) continue;
    tell(`making and pushing ${repository}`);
    const tags: Pushed[] = [];
    for (const [at, pull] of pulls.entries()) {
      const source = await pull.make();
      const tag = String(at + 1);
      const layers = await pushArtifact(registry.host, repository, tag, source);
      const known = new Set(tags.flatMap(before => before.layers.map(({ digest }) => digest)));
      const fresh = layers.filter(({ digest }) => !known.has(digest));
      tags.push({ tag, layers, fresh, files: source.files, bytes: source.bytes });
    }
    pushed.set(repository, tags);
  }
  return pushed;
}
