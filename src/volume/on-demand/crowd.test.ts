import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createCrowds } from './crowd.ts';

/** Opens volumes whose reads take places. `left`: the numbers of those that had to leave, in the order of leaving. */
function open(limits: { readonly volume: number; readonly all: number }) {
  const openCrowd = createCrowds(limits);
  const left: number[] = [];
  let reads = 0;
  const openVolume = () => {
    const crowd = openCrowd();
    return () => {
      const number = reads++;
      return crowd.enter(() => void left.push(number));
    };
  };
  return { openVolume, left };
}

const full = { code: 'exhausted' };

test('only so many reads of one volume wait, also while there are places', () => {
  const { openVolume } = open({ volume: 2, all: 10 });
  const [read, other] = [openVolume(), openVolume()];
  const first = read();
  read();
  assert.throws(read, { ...full, message: '2 reads of the volume wait already' });
  other();
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  read();
  assert.throws(read, full);
});

test('when all places are taken, the last read of the volume with the most of them leaves', () => {
  const { openVolume, left } = open({ volume: 10, all: 6 });
  const [one, two, three] = [openVolume(), openVolume(), openVolume()];
  for (const read of [one, one, two, two, two, one]) read();
  assert.throws(one, full);
  assert.throws(two, full);
  assert.deepEqual(left, []);
  three();
  assert.deepEqual(left, [5]);
  three();
  assert.deepEqual(left, [5, 4]);
  assert.throws(three, full);
  assert.deepEqual(left, [5, 4]);
});

test('a place that was lost or given back is free once', () => {
  const { openVolume, left } = open({ volume: 10, all: 2 });
  const [one, two] = [openVolume(), openVolume()];
  const reads = [one(), one()];
  two();
  assert.deepEqual(left, [1]);
  for (const read of [...reads, ...reads]) read[Symbol.dispose]();
  two();
  one();
  assert.deepEqual(left, [1, 3]);
});

test('a volume that has less than its part of the places gets one, whatever the others do', () => {
  const anyVolume = fc.nat({ max: 4 });
  fc.assert(
    fc.property(fc.array(fc.tuple(anyVolume, fc.boolean())), anyVolume, (steps, chosen) => {
      const [count, all] = [5, 20];
      const openCrowd = createCrowds({ volume: 12, all });
      const volumes = Array.from({ length: count }, () => {
        const [crowd, reads] = [openCrowd(), new Map<object, Disposable>()];
        const enter = (): void => {
          const read = {};
          reads.set(
            read,
            crowd.enter(() => void reads.delete(read)),
          );
        };
        return { reads, enter };
      });
      for (const [number, isEnd] of steps) {
        const { reads, enter } = volumes[number] ?? assert.fail();
        const [first] = reads;
        if (!isEnd) {
          const isSmall = reads.size < all / count;
          try {
            enter();
          } catch (thrown) {
            assert.ok(!isSmall, String(thrown));
          }
        } else if (first !== undefined) {
          first[1][Symbol.dispose]();
          reads.delete(first[0]);
        }
        const taken = volumes.reduce((sum, volume) => sum + volume.reads.size, 0);
        assert.ok(taken <= all, `${taken} reads wait`);
      }
      const { reads, enter } = volumes[chosen] ?? assert.fail();
      while (reads.size < all / count) enter();
    }),
  );
});
