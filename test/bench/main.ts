import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { installTools } from '../tools/install.ts';
import { readOptions } from '../tools/usage.ts';
import { runCached } from './cached.ts';
import { runCold } from './cold.ts';
import { type Row, rows } from './rows.ts';
import { artifactMegabytes, runShared } from './shared.ts';

/**
 * `npm run bench [-- --runs 3 --row 1x1GiB --row cached]`: compares cold publishes of a running daemon (the build's)
 * with other programs, in turns, measures publishes from the cache, and counts what sharing saves. It prints medians
 * and ratios, and fails if a bar is missed. With `--downloads`, the other program is a build without
 * src/registry/download; with `--against dist/main.js`, it is that build of another commit.
 */

const megabytesAllowed = 150;
const cachedMsAllowed = 3;

const others: readonly string[] = ['cached', 'shared'];
const rowNames = [...rows.map(({ name }) => name), ...others].join(', ');
const values = readOptions(
  `npm run bench [-- [--runs 3] [--row NAME]... [--downloads | --against FILE]]; a row is ${rowNames}`,
  {
    runs: { type: 'string', default: '3' },
    row: { type: 'string', multiple: true, default: [] },
    downloads: { type: 'boolean', default: false },
    against: { type: 'string' },
  },
);
const wanted = (name: string): boolean => values.row.length === 0 || values.row.includes(name);
const unknown = values.row.filter(name => !others.includes(name) && !rows.some(row => row.name === name));
if (unknown.length > 0) {
  console.error(`no row ${unknown.join(', ')}; there are ${rowNames}`);
  process.exit(2);
}

installTools('test');
const program = buildProgram('dist');
const other = values.downloads
  ? buildProgram('.tools/plain', `src/registry/download/downloads.ts=test/bench/plain-downloads.ts`)
  : values.against;
const otherName = values.downloads ? 'undici' : 'other build';

if (wanted('cached')) await reportCached();
if (wanted('shared')) await reportShared();
const cold = rows.filter(({ name }) => wanted(name));
if (cold.length > 0)
  console.log('row          rival          wall s: ours theirs ratio   cpu s: ours theirs ratio   peak MB');
for (const row of cold) await reportCold(row);

function buildProgram(outdir: string, replace?: string): string {
  const options = ['--outdir', outdir, ...(replace === undefined ? [] : ['--replace', replace])];
  const { status } = spawnSync('npm', ['run', '--silent', 'build', '--', ...options], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
  return fileURLToPath(new URL(`../../${outdir}/main.js`, import.meta.url));
}

async function reportCold(row: Row): Promise<void> {
  const { ours, theirs, peak } = await runCold(row, Number(values.runs), program, other);
  const ratio = ours.wall / theirs.wall;
  const line = [
    row.name.padEnd(12),
    (other === undefined ? row.rival : otherName).padEnd(14),
    `${fixed(ours.wall, 12)}${fixed(theirs.wall, 7)}${fixed(ratio, 6)}`,
    `${fixed(ours.cpu, 14)}${fixed(theirs.cpu, 7)}${fixed(ours.cpu / theirs.cpu, 6)}`,
    peak.toFixed(0).padStart(9),
    compare(
      other !== undefined || row.bar === undefined || ratio <= row.bar,
      `wall ratio at most ${row.bar}`,
    ),
    compare(peak < megabytesAllowed, `peak under ${megabytesAllowed} MB`),
  ];
  console.log(line.join(' ').trimEnd());
}

async function reportCached(): Promise<void> {
  const { p50, p99, mounts, bytesRead } = await runCached(program);
  const line = [
    `cached publish: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms;`,
    `per call ${mounts} mount, ${bytesRead} bytes read of anything`,
    compare(p50 < cachedMsAllowed, `p50 under ${cachedMsAllowed} ms`),
    compare(mounts === 1, 'one mount'),
    compare(bytesRead < 64 * 1024, 'no blob read'),
  ];
  console.log(line.join(' ').trimEnd());
}

async function reportShared(): Promise<void> {
  const { pods, version, killed, resident } = await runShared(program);
  const size = `${artifactMegabytes} MB`;
  const most = artifactMegabytes * 1.05;
  const lines = [
    [`ten pods with ${size}:`, `${whole(pods.sent)} downloaded, ${whole(pods.disk)} on the disk`],
    ['the next version, half of it changed:', `${whole(version.sent)} downloaded`],
    [`daemon killed at half of ${size}:`, `${whole(killed.sent)} downloaded`],
    ['memory of the daemon after that:', whole(resident)],
  ];
  for (const [what = '', figure = ''] of lines) console.log(`${what.padEnd(40)}${figure}`);
  const bars = [
    compare(Math.max(pods.sent, pods.disk, killed.sent) <= most, `at most ${most.toFixed(0)} MB`),
    compare(version.sent <= most / 2, `at most ${(most / 2).toFixed(0)} MB`),
    compare(resident < megabytesAllowed, `under ${megabytesAllowed} MB`),
  ];
  for (const bar of bars.filter(Boolean)) console.log(bar);
}

function whole(megabytes: number): string {
  return `${megabytes.toFixed(0)} MB`;
}

function compare(good: boolean, bar: string): string {
  if (!good) process.exitCode = 1;
  return good ? '' : `MISSED: ${bar}`;
}

function fixed(value: number, width: number): string {
  return value.toFixed(2).padStart(width);
}
