import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ByteSpan } from './byte-span.ts';
import { createCrowds } from './crowd.ts';
import { createViewReads } from './view-reads.ts';

test('reads that waited before anything loads their view are asked for when something does', async () => {
  const failed: number[] = [];
  const view = createViewReads(60_000, createCrowds()(), () => void failed.push(1));
  const [first, second] = [view.open(0, 100), view.open(1, 100)];
  const waiting = second.bring(90, 10);
  const asked: string[] = [];
  const ask = (layer: number, { offset, length }: ByteSpan): void =>
    void asked.push(`${length} bytes of ${layer} at ${offset}`);
  let stale = 0;
  view.loadBy({ ask, heardAt: () => 0, stale: () => void stale++ });
  assert.deepEqual(asked, ['10 bytes of 1 at 90']);
  const later = first.bring(0, 10);
  assert.equal(asked[1], '10 bytes of 0 at 0');
  second.serve(() => ({ fd: 7, [Symbol.dispose]() {} }));
  assert.equal((await waiting).fd, 7);
  assert.equal(stale, 0);
  assert.equal((await second.bring(0, 10)).fd, 7); // the kernel has an old map
  assert.equal(stale, 1);
  first[Symbol.dispose]();
  await assert.rejects(later, /the volume ended/);
  assert.deepEqual(failed, []);
  second[Symbol.dispose]();
});
