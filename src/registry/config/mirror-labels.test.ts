import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../../util/error.ts';
import { openMirrorLabels } from './mirror-labels.ts';

const never = new AbortController().signal;

function open() {
  const world = { now: 1_000_000, asked: 0, zone: 'a', isDown: false };
  const read = async () => {
    world.asked++;
    if (world.isDown) throw new ArtifactError('unavailable', 'the API hangs');
    return { zone: world.zone };
  };
  const labels = openMirrorLabels(
    read,
    () => world.now,
    () => 0.5,
  );
  return { world, labels };
}

test('labels are waited for once, and asked for again after minutes, without a wait', async () => {
  const { world, labels } = open();
  for (let i = 0; i < 3; i++) await labels.settle(never);
  assert.deepEqual([labels.current(), world.asked], [{ zone: 'a' }, 1]);
  world.zone = 'b';
  world.now += 5 * 60_000;
  await labels.settle(never);
  await new Promise(setImmediate);
  assert.deepEqual([labels.current(), world.asked], [{ zone: 'b' }, 2]);
});

test('while the API fails it is asked once a minute, and the last good labels stay', async () => {
  const { world, labels } = open();
  world.isDown = true;
  for (let i = 0; i < 3; i++) await labels.settle(never);
  assert.deepEqual([labels.current(), labels.problem(), world.asked], [undefined, 'the API hangs', 1]);
  world.now += 60_000;
  world.isDown = false;
  await labels.settle(never);
  assert.deepEqual([labels.current(), labels.problem()], [{ zone: 'a' }, undefined]);
  world.now += 5 * 60_000;
  world.isDown = true;
  await labels.settle(never);
  await new Promise(setImmediate);
  assert.deepEqual([labels.current(), labels.problem(), world.asked], [{ zone: 'a' }, 'the API hangs', 3]);
});

test('who leaves meanwhile gets the reason, and the next caller asks', async () => {
  const { world, labels } = open();
  const leaving = new AbortController();
  leaving.abort(new Error('left'));
  world.isDown = true;
  await assert.rejects(labels.settle(leaving.signal), /left/);
  world.isDown = false;
  await labels.settle(never);
  assert.deepEqual(labels.current(), { zone: 'a' });
});
