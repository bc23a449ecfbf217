import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installTools } from '../tools/install.ts';
import { runCached } from './cached.ts';
import { runCold } from './cold.ts';
import { type Row, rows } from './rows.ts';

/**
 * `npm run bench [-- --runs 3 --row 1x1GiB --row cached]`: compares cold publishes of a running daemon (the build's)
 * with other programs, in turns, and measures publishes from the cache. It prints medians and ratios, and fails if a
 * bar is missed.
 */

const megabytesAllowed = 150;
const cachedMsAllowed = 3;

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, row: { type: 'string', multiple: true, default: [] } },
});
const wanted = (name: string): boolean => values.row.length === 0 || values.row.includes(name);
const unknown = values.row.filter(name => name !== 'cached' && !rows.some(row => row.name === name));
if (unknown.length > 0) {
  console.error(`no row ${unknown.join(', ')}; there are ${rows.map(({ name }) => name).join(', ')}, cached`);
  process.exit(2);
}

installTools('test');
if (spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' }).status !== 0) process.exit(1);
const program = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

if (wanted('cached')) await reportCached();
const cold = rows.filter(({ name }) => wanted(name));
if (cold.length > 0)
  console.log('row          rival          wall s: ours theirs ratio   cpu s: ours theirs ratio   peak MB');
for (const row of cold) await reportCold(row);

async function reportCold(row: Row): Promise<void> {
  const { ours, theirs, peak } = await runCold(row, Number(values.runs), program);
  const ratio = ours.wall / theirs.wall;
  const line = [
    row.name.padEnd(12),
    row.rival.padEnd(14),
    `${fixed(ours.wall, 12)}${fixed(theirs.wall, 7)}${fixed(ratio, 6)}`,
    `${fixed(ours.cpu, 14)}${fixed(theirs.cpu, 7)}${fixed(ours.cpu / theirs.cpu, 6)}`,
    peak.toFixed(0).padStart(9),
    compare(row.bar === undefined || ratio <= row.bar, `wall ratio at most ${row.bar}`),
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

function compare(good: boolean, bar: string): string {
  if (!good) process.exitCode = 1;
  return good ? '' : `MISSED: ${bar}`;
}

function fixed(value: number, width: number): string {
  return value.toFixed(2).padStart(width);
}
