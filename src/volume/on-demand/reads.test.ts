import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { createCrowds } from './crowd.ts';
import { createReads, type ReadLimits } from './reads.ts';

const refused = new ArtifactError('not-found', 'the registry lacks it');

const neverHere = (): never => assert.fail('the bytes are never here');

type Given = Partial<Pick<ReadLimits, 'patienceMs' | 'heardAt' | 'longestMs' | 'crowd'>>;

function open(given: Given = {}, now?: () => number) {
  const counts = { asked: 0, failed: 0, stale: 0 };
  const refusals: boolean[] = [];
  const limits = {
    patienceMs: 60_000,
    heardAt: () => 0,
    crowd: createCrowds()(),
    ...given,
    asked: () => void counts.asked++,
    failed: (_error: ArtifactError, isRefused: boolean) => {
      counts.failed++;
      refusals.push(isRefused);
    },
    stale: () => void counts.stale++,
  };
  const reads = createReads(100, limits, now);
  return { reads, counts, refusals };
}

test('reads wait until the bytes are in a file, and later ones do not wait', async () => {
  const { reads, counts } = open();
  const waiting = [reads.bring(0, 10), reads.bring(50, 10)];
  assert.equal(reads.waiting(), 2);
  reads.serve(() => ({ fd: 7, [Symbol.dispose]() {} }));
  const files = await Promise.all([...waiting, reads.bring(90, 10)]);
  assert.deepEqual(
    files.map(({ fd }) => fd),
    [7, 7, 7],
  );
  assert.deepEqual([reads.waiting(), counts], [0, { asked: 2, failed: 0, stale: 1 }]);
  reads[Symbol.dispose]();
});

test('a file is open only while a read uses it, once for all', async () => {
  const { reads } = open();
  const waiting = [reads.bring(0, 10), reads.bring(50, 10)];
  const files = { opened: 0, closed: 0 };
  const openFile = () => {
    files.opened++;
    return { fd: 7, [Symbol.dispose]: () => void files.closed++ };
  };
  reads.serve(openFile, offset => offset < 50);
  const first = await waiting[0];
  reads.serve(openFile);
  const second = await waiting[1];
  const third = await reads.bring(90, 10);
  for (const each of [first, first, second]) each?.[Symbol.dispose]();
  assert.deepEqual(files, { opened: 1, closed: 0 });
  reads[Symbol.dispose](); // the read that was answered is still copied
  assert.deepEqual(files, { opened: 1, closed: 0 });
  third[Symbol.dispose]();
  assert.deepEqual(files, { opened: 1, closed: 1 });
});

test('a file is opened again for a later read', async () => {
  const { reads } = open();
  const files = { opened: 0, closed: 0 };
  reads.serve(() => {
    files.opened++;
    return { fd: 7, [Symbol.dispose]: () => void files.closed++ };
  });
  assert.deepEqual(files, { opened: 0, closed: 0 });
  for (const count of [1, 2]) {
    (await reads.bring(0, 10))[Symbol.dispose]();
    assert.deepEqual(files, { opened: count, closed: count });
  }
  reads[Symbol.dispose]();
});

test('a read whose file cannot be opened fails', async () => {
  const { reads, counts } = open();
  const lost = new ArtifactError('internal', 'too many files are open');
  const waiting = reads.bring(0, 10);
  reads.serve(() => {
    throw lost;
  });
  await assert.rejects(waiting, lost);
  await assert.rejects(reads.bring(0, 10), lost);
  assert.equal(counts.failed, 2);
  reads[Symbol.dispose]();
});

test('a failure ends the reads that wait and those that the kernel repeats, and a later one waits again', async () => {
  let time = 1;
  const { reads, counts } = open({}, () => time);
  const waiting = reads.bring(0, 10);
  reads.fail(refused);
  await assert.rejects(waiting, refused);
  await assert.rejects(reads.bring(0, 10), refused);
  assert.deepEqual(counts, { asked: 1, failed: 2, stale: 0 });
  time = 10_000;
  const later = reads.bring(0, 10);
  assert.equal(counts.asked, 2);
  reads[Symbol.dispose]();
  await assert.rejects(later, /the volume ended/);
  await assert.rejects(reads.bring(0, 10), /the volume ended/);
  assert.equal(counts.failed, 2, 'what ends with its volume is no failure');
});

test('a read waits no longer than the patience, and its repetition does not wait', async () => {
  const { reads, counts } = open({ patienceMs: 30 });
  await assert.rejects(reads.bring(0, 10), /nothing came within 0.03 s/);
  await assert.rejects(reads.bring(0, 10), /nothing came/);
  assert.equal(counts.asked, 1);
  reads[Symbol.dispose]();
});

test('reads that failed by their patience are a problem until something comes', async () => {
  let heardAt = 0;
  const { reads } = open({ patienceMs: 30, heardAt: () => heardAt });
  assert.equal(reads.problem(), undefined);
  await assert.rejects(reads.bring(0, 10), /nothing came/);
  assert.match(reads.problem()?.message ?? '', /nothing came within 0.03 s/);
  heardAt = performance.now();
  assert.equal(reads.problem(), undefined);
  reads[Symbol.dispose]();
});

test('a read waits longer while something comes, and one that began later has its own time', async () => {
  const begun = performance.now();
  const { reads } = open({ patienceMs: 200, heardAt: () => Math.min(performance.now(), begun + 300) });
  const first = reads.bring(0, 10).then(neverHere, () => performance.now() - begun);
  await new Promise(resolve => setTimeout(resolve, 400));
  const second = reads.bring(0, 10).then(neverHere, () => performance.now() - begun);
  const [took, tookLater] = await Promise.all([first, second]);
  assert.ok(took >= 490, String(took));
  assert.ok(tookLater >= 590, String(tookLater));
  reads[Symbol.dispose]();
});

test('a read does not wait for ever, however much comes', async () => {
  for (const patienceMs of [20, 60_000]) {
    const { reads } = open({ patienceMs, heardAt: () => performance.now(), longestMs: 200 });
    const begun = performance.now();
    await assert.rejects(reads.bring(0, 10), /it has not come for 0.2 s/);
    assert.ok(performance.now() - begun >= 190);
    reads[Symbol.dispose]();
  }
});

test('only so many reads of a volume wait', async () => {
  const { reads, counts } = open();
  const waiting = Array.from({ length: 4096 }, () => reads.bring(0, 10));
  await assert.rejects(reads.bring(0, 10), /reads of the volume wait already/);
  assert.deepEqual(counts, { asked: 4096, failed: 1, stale: 0 });
  reads.serve(() => ({ fd: 7, [Symbol.dispose]() {} }));
  for (const { fd } of await Promise.all(waiting)) assert.equal(fd, 7);
  const later = reads.bring(0, 10);
  assert.equal((await later).fd, 7);
  reads[Symbol.dispose]();
});

test('a read of which another volume takes the place fails', async () => {
  const openCrowd = createCrowds({ volume: 10, all: 2 });
  const [{ reads, counts }, other] = [open({ crowd: openCrowd() }), open({ crowd: openCrowd() })];
  const [first, last] = [reads.bring(0, 10), reads.bring(10, 10)];
  const another = other.reads.bring(0, 10);
  await assert.rejects(last, /no volume has more of them/);
  assert.deepEqual([reads.waiting(), counts.failed, other.reads.waiting()], [1, 1, 1]);
  for (const { reads: each } of [{ reads }, other]) each.serve(() => ({ fd: 7, [Symbol.dispose]() {} }));
  for (const { fd } of [await first, await another]) assert.equal(fd, 7);
  assert.equal((await reads.bring(10, 10)).fd, 7);
  for (const each of [reads, other.reads]) each[Symbol.dispose]();
});

test('reads of bytes that are here, or fail, do not end those of others', async () => {
  const { reads, refusals } = open();
  const [first, across, last] = [reads.bring(0, 10), reads.bring(15, 10), reads.bring(90, 10)];
  const file = { fd: 7, [Symbol.dispose]() {} };
  reads.serve(
    () => file,
    (offset, length) => offset + length <= 20,
  );
  assert.equal((await first).fd, 7);
  assert.equal(reads.waiting(), 2);
  reads.fail(refused, { offset: 20, length: 20 });
  await assert.rejects(across, refused);
  await assert.rejects(reads.bring(39, 1), refused);
  assert.deepEqual(refusals, [false, false]);
  assert.equal((await reads.bring(10, 10)).fd, 7);
  assert.equal(reads.waiting(), 1);
  reads.refuse(refused);
  await assert.rejects(last, refused);
  await assert.rejects(reads.bring(0, 10), refused);
  assert.equal(reads.problem(), refused);
  assert.deepEqual(refusals.slice(2), [true, true]);
  reads[Symbol.dispose]();
});

test('the failures of several chunks are remembered, each for reads of its bytes', async () => {
  const { reads, counts } = open();
  const lacking = new ArtifactError('not-found', 'the registry lacks another chunk');
  reads.fail(refused, { offset: 0, length: 20 });
  reads.fail(lacking, { offset: 20, length: 20 });
  await assert.rejects(reads.bring(0, 10), refused);
  await assert.rejects(reads.bring(30, 10), lacking);
  const waiting = reads.bring(40, 10);
  assert.equal(counts.asked, 1);
  reads.fail(lacking, { offset: 0, length: 20 });
  await assert.rejects(reads.bring(0, 10), lacking);
  reads[Symbol.dispose]();
  await assert.rejects(waiting, /the volume ended/);
});

test('only so many failures are remembered', async () => {
  const { reads, counts } = open();
  for (let offset = 0; offset < 65; offset++) reads.fail(refused, { offset, length: 1 });
  for (let offset = 1; offset < 65; offset++) await assert.rejects(reads.bring(offset, 1), refused);
  assert.equal(counts.asked, 0);
  const waiting = reads.bring(0, 1);
  assert.equal(counts.asked, 1);
  reads[Symbol.dispose]();
  await assert.rejects(waiting, /the volume ended/);
});
