import { spawnSync } from 'node:child_process';
import { chmodSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import process from 'node:process';
import { Readable } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findSocket } from '../src/cli/endpoints.ts';
import { flags } from '../src/cli/flags.ts';
import { mainVariable } from './support/node/main.ts';
import { sweep } from './support/os/leftovers.ts';
import { listMounts } from './support/os/mounts.ts';
import { reportFiles } from './support/project/file-reporter.ts';
import { type FileTime, formatTimes, timesVariable } from './support/project/file-times.ts';
import { limitVariable } from './support/project/time-limit.ts';
import { isCi, verboseVariable } from './support/project/tools.ts';
import { installTools } from './tools/install.ts';
import type { ToolGroup } from './tools/table.ts';

/**
 * `npm test [-- --verbose] [-- file…]`: runs all tests except those of the directories test/faults, test/scale,
 * test/release, test/cluster, test/arm64 and test/kernels; `npm run test:faults`, `test:release` and so on run one
 * of these each. It runs four files at a time, because many of them wait, and two of the other directories, but one
 * of test/scale and test/cluster, where each has many nodes; afterwards those named *.quiet.test.ts, which measure,
 * one by one. Up to five files that fail run once more, alone: the last run of a file counts, and the end names those
 * that passed then. It prints a line for each file; with --verbose, each test and its figures, of which some are measured
 * more often; with --times, at the end the time and CPU time of each file. The run has a temporary directory of its
 * own. It fails if a mount, a file or a process is left behind; in CI also if a test was skipped.
 */

const usage = `usage: npm test [-- --verbose] [-- --times] [-- file or directory...]
       npm run test:faults | test:scale | test:release | test:cluster | test:arm64 | test:kernels [-- --verbose]`;
const root = fileURLToPath(new URL('..', import.meta.url));
/** The directories that run apart, each with its programs. A cluster and an emulated machine run the built image. */
const apart: Readonly<Record<string, readonly ToolGroup[]>> = {
  faults: [],
  scale: [],
  release: ['release'],
  cluster: ['release', 'cluster'],
  arm64: ['release', 'arm64'],
  kernels: ['kernels'],
};
const names = Object.keys(apart);
const { values, positionals: asked } = readArguments();
const { verbose, times: timed } = values;
const part = names.find(name => name in values);
const all = globSync('{src,test}/**/*.test.ts', { cwd: root });
const chosen = all.filter(file => names.find(name => file.startsWith(`test/${name}/`)) === part);
const wanted = asked.flatMap(path =>
  path.endsWith('.ts') ? [path] : chosen.filter(file => !relative(path, file).startsWith('..')),
);
// From the end of the alphabet: the files of test/ take the longest, and the last ones should be short.
const files = (asked.length > 0 ? wanted : chosen).toSorted().toReversed();
if (files.length === 0) {
  console.error(
    `no tests of this command are below ${asked.join(', ')}; some directories have a command of their own\n${usage}`,
  );
  process.exit(1);
}
const quiet = files.filter(file => file.endsWith('.quiet.test.ts'));
const others = files.filter(file => !quiet.includes(file));
const totalOf = /^(?<what>tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) (?<count>[\d.]+)$/;

process.chdir(root);
const daemon = await findSocket([flags.endpoint.preset.slice('unix://'.length)]);
if (daemon !== undefined) {
  console.error(
    `a daemon answers on unix://${daemon}, and the commands of the tests would use it; stop it first`,
  );
  process.exit(1);
}
for (const group of ['test', ...(apart[part ?? ''] ?? [])] as const) installTools(group);
const protos = spawnSync('npm', ['run', '--silent', 'protos'], { stdio: 'inherit' });
if (protos.status !== 0) process.exit(1);

const before = listMounts();
const shared = tmpdir();
const directory = mkdtempSync(join(shared, 'oac-')); // short: it contains unix sockets
chmodSync(directory, 0o711); // for tests that act as another user
process.env['TMPDIR'] = directory;
if (verbose) process.env[verboseVariable] = 'true';
// Tests start more than a thousand programs, and most of the time of a start is for compiling the same files.
const compiled = mkdtempSync(join(shared, 'oac-compiled-'));
process.env['NODE_COMPILE_CACHE'] = compiled;
// Below node_modules, of which the build takes what is native.
const built = mkdtempSync(join(root, '.tools', 'main-'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    sweep(directory, shared, before); // ends the tests
    removeDirectories();
    process.exit(1);
  });
}

const building = spawnSync(process.execPath, ['test/tools/build.ts', '--outdir', relative(root, built)], {
  stdio: 'inherit',
});
if (building.status !== 0) process.exit(1);
process.env[mainVariable] = join(built, 'main.js');
/** The process of each file of tests ends when it takes far longer than any does, and measures what it costs. */
const timesPath = join(compiled, 'times');
const watched = {
  execArgv: ['time-limit', ...(timed ? ['file-times'] : [])].flatMap(name => [
    '--import',
    import.meta.resolve(`./support/project/${name}.ts`),
  ]),
  env: { ...process.env, [limitVariable]: part === undefined ? '10' : '20', [timesVariable]: timesPath },
};

const report = verbose ? Readable.from(events()).compose(spec) : reportFiles(root, events());
for await (const text of report) process.stdout.write(text);

/** Merges the events of all runs into one: one list of failures and one set of totals at the end. */
async function* events(): AsyncGenerator<{ type: string; data: object }> {
  const totals = new Map<string, number>();
  const skipped: string[] = [];
  const times: FileTime[] = [];
  const failed = new Set<string>();
  async function* runFiles(names: readonly string[], concurrency: number): ReturnType<typeof events> {
    if (names.length === 0) return;
    for await (const event of run({ ...watched, concurrency, files: names.map(name => join(root, name)) })) {
      const total = event.type === 'test:diagnostic' ? totalOf.exec(event.data.message)?.groups : undefined;
      if (event.type === 'test:fail') failed.add(relative(root, event.data.file ?? ''));
      if (event.type === 'test:summary' && event.data.file !== undefined)
        times.push({ file: event.data.file, wall: event.data.duration_ms / 1000 });
      if (event.type === 'test:pass' && event.data.skip)
        skipped.push(`${event.data.name}: ${event.data.skip}`);
      if (total === undefined) yield event;
      else totals.set(total['what'] ?? '', (totals.get(total['what'] ?? '') ?? 0) + Number(total['count']));
    }
  }
  yield* runFiles(others, part === undefined ? 4 : ['scale', 'cluster'].includes(part) ? 1 : 2);
  yield* runFiles(quiet, 1);
  const again = failed.size <= 5 ? [...failed] : [];
  if (again.length > 0) {
    failed.clear();
    totals.set('fail', 0);
    for (const line of sweep(directory, shared, before))
      yield diagnostic(`left by a failure: ${line}`, 'warn');
    for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true });
    yield* runFiles(again, 1);
  }
  if (failed.size > 0) process.exitCode = 1;
  const lines = timed ? formatTimes(root, times, readFileSync(timesPath, 'utf8')) : [];
  const leftovers = sweep(directory, shared, before);
  removeDirectories();
  if (leftovers.length > 0 || (isCi && skipped.length > 0)) process.exitCode = 1;
  for (const name of again)
    if (!failed.has(name))
      yield diagnostic(`unstable: ${name} failed beside others and passed alone`, 'warn');
  for (const line of skipped) yield diagnostic(`not run: ${line}`, 'warn');
  for (const line of leftovers) yield diagnostic(`left behind: ${line}`, 'error');
  for (const line of lines) yield diagnostic(line, 'info');
  for (const [what, count] of totals) yield diagnostic(`${what} ${count}`, 'info');
}

function diagnostic(message: string, level: 'info' | 'warn' | 'error'): { type: string; data: object } {
  return { type: 'test:diagnostic', data: { nesting: 0, message, level } };
}

function removeDirectories(): void {
  for (const made of [directory, compiled, built]) rmSync(made, { recursive: true, force: true });
}

function readArguments() {
  const flag = { type: 'boolean', default: false } as const;
  const parts = Object.fromEntries(names.map(name => [name, { type: 'boolean' as const }]));
  try {
    const read = parseArgs({
      options: { help: { ...flag, short: 'h' }, verbose: flag, times: flag, ...parts },
      allowPositionals: true,
    });
    if (!read.values.help) return read;
    console.log(usage);
    process.exit(0);
  } catch (thrown) {
    console.error(`${thrown instanceof Error ? thrown.message : String(thrown)}\n${usage}`);
    process.exit(2);
  }
}
