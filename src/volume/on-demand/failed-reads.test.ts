import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { volume } from '../../../test/support/node/csi-edge.ts';
import { ArtifactError } from '../../util/error.ts';
import { createFailedReads } from './failed-reads.ts';

function open() {
  const told: string[] = [];
  const warned: string[] = [];
  const views = ['a', 'a', 'b'];
  const clock = { now: 0 };
  const world = {
    volumes: { listBrief: async () => views.map((view, nth) => ({ ...volume, targetPath: `${nth}`, view })) },
    reportFailedRead: ({ targetPath }: { targetPath: string }, why: string) =>
      void told.push(`${targetPath}: ${why}`),
    warn: (text: string) => void warned.push(text),
  };
  return { reads: createFailedReads(world, () => clock.now), told, warned, clock, views };
}

const gone = new ArtifactError('not-found', 'it is gone');

test('each volume of a view is told of a read that failed, once a minute while more fail', async () => {
  const { reads, told, warned, clock, views } = open();
  for (let nth = 0; nth < 3; nth++) reads.add('a', gone, false);
  await turn();
  assert.deepEqual(told.splice(0), ['0: it is gone', '1: it is gone']);
  assert.equal(warned.length, 1);
  clock.now = 59_999;
  reads.add('a', gone, false);
  reads.add('b', gone, false);
  await turn();
  assert.deepEqual(told.splice(0), ['2: it is gone']);
  clock.now = 60_000;
  views.push('a');
  reads.add('a', new ArtifactError('unavailable', 'nothing came'), false);
  await turn();
  assert.deepEqual(told, ['0: nothing came', '1: nothing came', '3: nothing came']);
  assert.equal(reads.count(), 6);
});

test('no volume is told of a read that was refused: it is told why', async () => {
  const { reads, told } = open();
  for (const key of ['a', 'b']) reads.add(key, gone, key === 'b');
  await turn();
  assert.deepEqual(told, ['0: it is gone', '1: it is gone']);
  assert.equal(reads.count(), 2);
});
