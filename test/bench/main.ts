import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { installTools } from '../tools/install.ts';
import { readOptions } from '../tools/usage.ts';
import { measure, rowNames } from './measurement.ts';
import { findMisses } from './misses.ts';
import { toTable } from './table.ts';

/**
 * `npm run bench [-- --runs 3 --row 1x1GiB --row cached]`: lets the build of the driver and other programs pull the same
 * artifacts in turns, measures what it does from the cache and at rest, and counts what sharing saves. It prints medians
 * and ratios, and fails if a bar is missed. `--against dist/main.js`: the other program is that build of another commit.
 * `--small`: a little of everything, to see that it works; times are not judged.
 */

const values = readOptions(
  `npm run bench [-- [--runs 3] [--row NAME]... [--against FILE] [--small]]; a row is ${rowNames.join(', ')}`,
  {
    runs: { type: 'string', default: '3' },
    row: { type: 'string', multiple: true, default: [] },
    against: { type: 'string' },
    small: { type: 'boolean', default: false },
  },
);
const unknown = values.row.filter(name => !rowNames.includes(name));
if (unknown.length > 0) {
  console.error(`no row ${unknown.join(', ')}; there are ${rowNames.join(', ')}`);
  process.exit(2);
}

for (const group of ['test', 'bench'] as const) installTools(group);
const built = spawnSync('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
if (built.status !== 0) process.exit(1);

const report = await measure(
  {
    program: fileURLToPath(new URL('../../dist/main.js', import.meta.url)),
    against: values.against,
    command: ['npm run bench', process.argv.slice(2).join(' ')].filter(Boolean).join(' -- '),
    turns: Number(values.runs),
    wanted: values.row,
    small: values.small,
  },
  line => console.error(line),
);
console.log(toTable(report));
for (const miss of findMisses(report, !values.small && values.against === undefined)) {
  console.log(`MISSED: ${miss}`);
  process.exitCode = 1;
}
