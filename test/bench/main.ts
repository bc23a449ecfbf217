import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { installTools } from '../tools/install.ts';
import { readOptions } from '../tools/usage.ts';
import { measure, rowNames } from './measurement.ts';
import { findMisses } from './misses.ts';
import { readReport, record } from './record.ts';
import type { Report } from './report.ts';
import { toTable } from './table.ts';

/**
 * `npm run bench [-- --runs 3 --row 1x1GiB --row cached]`: lets the build of the driver and other programs pull the same
 * artifacts in turns, measures what it does from the cache and at rest, and counts what sharing saves. It prints medians
 * and ratios, and fails if a bar is missed. `--against dist/main.js`: the other program is that build of another commit.
 * `--small`: a little of everything, to see that it works; times are not judged. `--record` writes the report to
 * docs/performance.json, and what is made of it: docs/performance.md, its chart, and the figures of the README.
 * `--from FILE`: that report, without a measurement.
 */

const usage = `npm run bench [-- [--runs 3] [--row NAME]... [--against FILE] [--small] [--record]]
       npm run bench -- --from FILE [--record]
a row is ${rowNames.join(', ')}`;

const values = readOptions(usage, {
  runs: { type: 'string', default: '3' },
  row: { type: 'string', multiple: true, default: [] },
  against: { type: 'string' },
  small: { type: 'boolean', default: false },
  record: { type: 'boolean', default: false },
  from: { type: 'string' },
});
const unknown = values.row.filter(name => !rowNames.includes(name));
if (unknown.length > 0) refuse(`no row ${unknown.join(', ')}; there are ${rowNames.join(', ')}`);
if (values.record && (values.row.length > 0 || values.small || values.against !== undefined))
  refuse('--record is for a report of everything, without --row, --small and --against');

const report = values.from === undefined ? await run() : readReport(values.from);
console.log(toTable(report));
for (const miss of findMisses(report, !values.small && values.against === undefined)) {
  console.log(`MISSED: ${miss}`);
  process.exitCode = 1;
}
if (values.record) record(report);

async function run(): Promise<Report> {
  for (const group of ['test', 'bench'] as const) installTools(group);
  const built = spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
  if (built.status !== 0) process.exit(1);
  const plan = {
    program: fileURLToPath(new URL('../../dist/main.js', import.meta.url)),
    against: values.against,
    command: ['npm run bench', process.argv.slice(2).join(' ')].filter(Boolean).join(' -- '),
    turns: Number(values.runs),
    wanted: values.row,
    small: values.small,
  };
  return await measure(plan, line => console.error(line));
}

function refuse(why: string): never {
  console.error(why);
  process.exit(2);
}
