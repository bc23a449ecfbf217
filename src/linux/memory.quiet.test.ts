import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { worstSlowness } from '../../test/support/os/machine-speed.ts';

const run = promisify(execFile);

/**
 * Fills 160 MB of the heap, drops it, idles, and prints the resident megabytes before, at the peak and after, and the
 * most CPU time between two turns of the event loop while it idled. If it is starved, the work takes seconds of which it
 * gets little CPU time, and afterwards it does a little all the time.
 */
const program = `
import { setTimeout as sleep } from 'node:timers/promises';
import { returnMemory } from '${import.meta.resolve('./memory.ts')}';
const rss = () => Math.round(process.memoryUsage.rss() / 1e6);
const how = process.argv[1];
using memory = how === 'kept' ? undefined : returnMemory(() => {});
await sleep(2500);
const before = rss();
let rows = Array.from({ length: 20 }, (_, i) => Array.from({ length: 50_000 }, (_, j) => ({ i, j, k: i * j + 0.5 })));
const peak = rss();
rows = undefined;
if (how === 'starved') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 8000);
const spent = () => Object.values(process.threadCpuUsage()).reduce((sum, micros) => sum + micros / 1000, 0);
let turn = 0;
const until = Date.now() + (memory === undefined ? 3_000 : 15_000);
for (let last = spent(); Date.now() < until && rss() > before + 30; last = spent()) {
  await sleep(50);
  turn = Math.max(turn, spent() - last);
  if (how === 'starved') for (const from = spent(); spent() < from + 3; );
}
console.log(JSON.stringify({ before, peak, after: rss(), turn }));
`;

type Seen = { before: number; peak: number; after: number; turn: number };

async function measure(how: 'returned' | 'starved' | 'kept'): Promise<Seen> {
  const { stdout } = await run(process.execPath, ['--input-type=module-typescript', '-e', program, how]);
  return JSON.parse(stdout) as Seen;
}

test('memory is returned to the system some seconds after work, and without this it is not', async t => {
  const [returned, kept] = await Promise.all([measure('returned'), measure('kept')]);
  const text = JSON.stringify({ returned, kept });
  t.diagnostic(text);
  assert.ok(returned.peak - returned.before > 60, text);
  assert.ok(returned.after - returned.before <= 30, text);
  assert.ok(returned.turn < 50 * worstSlowness(), text);
  assert.ok(kept.after - kept.before > 45, text);
});

test('memory that grew while the machine gave little CPU time is returned beside a little work', async () => {
  const starved = await measure('starved');
  assert.ok(starved.after - starved.before <= 30, JSON.stringify(starved));
});

test('memory that cannot be measured does not end the process', async () => {
  const starving = `
import { setTimeout as sleep } from 'node:timers/promises';
import { returnMemory } from '${import.meta.resolve('./memory.ts')}';
using memory = returnMemory(() => {});
let failures = 0;
process.memoryUsage.rss = () => {
  failures++;
  throw new Error('EMFILE: too many open files');
};
while (failures < 2) await sleep(50);
console.log('alive');
`;
  const { stdout } = await run(process.execPath, ['--input-type=module-typescript', '-e', starving]);
  assert.equal(stdout, 'alive\n');
});
