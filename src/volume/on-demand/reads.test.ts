import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { createReads } from './reads.ts';

const refused = new ArtifactError('not-found', 'the registry lacks it');

function open(patienceMs = 60_000) {
  const counts = { asked: 0, failed: 0 };
  const reads = createReads(100, {
    patienceMs,
    asked: () => void counts.asked++,
    failed: () => void counts.failed++,
  });
  return { reads, counts };
}

test('reads wait until the bytes are in a file, and later ones do not wait', async () => {
  const { reads, counts } = open();
  const waiting = [reads.bring(0, 10), reads.bring(50, 10)];
  assert.equal(reads.waiting(), 2);
  let isOpen = true;
  reads.serve(() => ({ fd: 7, [Symbol.dispose]: () => void (isOpen = false) }));
  assert.deepEqual(await Promise.all([...waiting, reads.bring(90, 10)]), [7, 7, 7]);
  assert.deepEqual([reads.waiting(), counts, isOpen], [0, { asked: 2, failed: 0 }, true]);
  reads[Symbol.dispose]();
  assert.ok(!isOpen);
});

test('a failure ends the reads that wait and those that the kernel repeats, and a later one waits again', async t => {
  t.mock.timers.enable({ apis: ['Date'], now: 1 });
  const { reads, counts } = open();
  const waiting = reads.bring(0, 10);
  reads.fail(refused);
  await assert.rejects(waiting, refused);
  await assert.rejects(reads.bring(0, 10), refused);
  assert.deepEqual(counts, { asked: 1, failed: 2 });
  t.mock.timers.setTime(10_000);
  const later = reads.bring(0, 10);
  assert.equal(counts.asked, 2);
  reads[Symbol.dispose]();
  await assert.rejects(later, /the volume ended/);
  await assert.rejects(reads.bring(0, 10), /the volume ended/);
});

test('a read waits no longer than the patience, and its repetition does not wait', async () => {
  const { reads } = open(30);
  const begun = performance.now();
  await assert.rejects(reads.bring(0, 10), /did not come within 0.03 s/);
  await assert.rejects(reads.bring(0, 10), /did not come/);
  assert.ok(performance.now() - begun < 1_000);
  reads[Symbol.dispose]();
});
