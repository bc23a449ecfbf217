import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../util/error.ts';
import { openNodeLabels } from './node-labels.ts';

const never = new AbortController().signal;

test('the labels of the node are asked for once in 10 s, whether the API answers or fails', async () => {
  let time = 0;
  let asked = 0;
  let isDown = false;
  const labels = openNodeLabels(
    {
      async node() {
        asked++;
        if (isDown) throw new ArtifactError('unavailable', 'the API hangs');
        return { metadata: { labels: { gpu: 'yes' } } };
      },
    },
    'node-1',
    () => time,
  );
  for (let i = 0; i < 3; i++) assert.deepEqual(await labels(never), { gpu: 'yes' });
  assert.equal(asked, 1);
  isDown = true;
  time += 10_000;
  for (let i = 0; i < 3; i++) await assert.rejects(labels(never), { message: 'the API hangs' });
  assert.equal(asked, 2);
  isDown = false;
  time += 10_000;
  assert.deepEqual(await labels(never), { gpu: 'yes' });
});
