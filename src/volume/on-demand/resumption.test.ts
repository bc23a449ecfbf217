import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LateView } from '../../ports/late-views.ts';
import { ArtifactError } from '../../util/error.ts';
import { createCrowds } from './crowd.ts';
import { createResumption } from './resumption.ts';

const sound = async (): Promise<undefined> => undefined;

test('a late view that is damaged or cannot be read is logged, and the others are resumed', async () => {
  const warned: string[] = [];
  const good = { key: 'good', layers: [], isShown: () => false } as unknown as LateView;
  const resumption = createResumption(
    {
      lateViews: {
        keys: async () => ['bad', 'damaged', 'good'],
        async find(key) {
          if (key !== 'bad') return good;
          throw new ArtifactError('internal', 'EIO: i/o error, read');
        },
        check: async key => (key === 'damaged' ? 'its image is another one' : undefined),
      },
      views: { find: async () => undefined },
      images: { keepMounted: () => assert.fail() },
      landings: {
        async resume(prepare) {
          prepare({ add: () => assert.fail() });
          return { failure: () => undefined } as never;
        },
      },
      patienceMs: 1_000,
      openCrowd: createCrowds(),
      warn: text => void warned.push(text),
    },
    () => {},
  );
  await resumption.run();
  assert.ok(resumption.find('good'));
  for (const key of ['bad', 'damaged']) assert.equal(resumption.find(key), undefined);
  assert.deepEqual(warned.toSorted(), [
    'the volume that is loaded on demand (view bad) cannot be continued: EIO: i/o error, read',
    'the volume that is loaded on demand (view damaged) cannot be continued: its image is another one',
  ]);
});

test('reads of a layer whose list has lied are refused before anything loads its view', async () => {
  const lying = {
    key: 'lying',
    layers: [{ size: 7 }],
    isShown: () => false,
    chunksOf: () => ({ hasLied: () => true }),
  } as unknown as LateView;
  const failed: unknown[] = [];
  const resumption = createResumption(
    {
      lateViews: { keys: async () => ['lying'], find: async () => lying, check: sound },
      views: { find: async () => undefined },
      images: { keepMounted: () => assert.fail() },
      landings: {
        async resume(prepare) {
          prepare({ add: () => ({ path: '/dev/null', [Symbol.dispose]() {} }) });
          return { failure: () => undefined } as never;
        },
      },
      patienceMs: 1_000,
      openCrowd: createCrowds(),
      warn: assert.fail,
    },
    (key, { message }, isRefused) => void failed.push([key, message, isRefused]),
  );
  await resumption.run();
  await assert.rejects(async () => resumption.find('lying')?.reads[0]?.bring(0, 1), { code: 'corrupt' });
  assert.deepEqual(failed, [['lying', 'its list of chunks lies', true]]);
});
