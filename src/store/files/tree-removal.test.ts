import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryFolder } from '../../../test/support/os/temporary.ts';
import { removeTree } from './tree-removal.ts';

test('a run of empty directories is removed in slices that leave the event loop free', async () => {
  await using folder = await temporaryFolder();
  const tree = join(folder.path, 'tree');
  for (let nth = 0; nth < 3000; nth++) mkdirSync(join(tree, String(nth)), { recursive: true });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  await removeTree(tree, new AbortController().signal);
  const whole = performance.now() - start;
  await sleep(10); // a delay is measured at the end of a turn
  delay.disable();
  assert.equal(existsSync(tree), false);
  assert.ok(delay.max / 1e6 < whole / 3, `${delay.max / 1e6} of ${whole} ms without a turn`);
});
