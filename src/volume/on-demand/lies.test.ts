import assert from 'node:assert/strict';
import { test } from 'node:test';
import { volume } from '../../../test/support/node/csi-edge.ts';
import { createLieReporter } from './lies.ts';

test('each volume of a late view whose list lied is reported once, also one that is published later', async () => {
  const told: string[] = [];
  const records = ['a', 'b'].map(targetPath => ({ ...volume, targetPath, view: 'lying' }));
  const volumes = { listBrief: async () => [...records, { ...volume, targetPath: 'c', view: 'right' }] };
  const lies = new Map<string, string>();
  const lives = new Map(['lying', 'right'].map(key => [key, { lie: () => lies.get(key) }]));
  const reportLie = ({ targetPath }: { targetPath: string }, lie: string) =>
    void told.push(`${targetPath}: ${lie}`);
  const report = createLieReporter({ volumes, reportLie }, lives);
  await report();
  assert.deepEqual(told, []);
  lies.set('lying', 'it lies');
  await Promise.all([report(), report()]);
  records.push({ ...volume, targetPath: 'd', view: 'lying' });
  await report();
  assert.deepEqual(told, ['a: it lies', 'b: it lies', 'd: it lies']);
});
