import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doEach } from './each.ts';

test('all items are worked on, one after the other, and the first failure is thrown in the end', async () => {
  const log: string[] = [];
  const work = async (name: string): Promise<void> => {
    log.push(`${name} begins`);
    await Promise.resolve();
    log.push(`${name} ends`);
    if (name !== 'b') throw new Error(name);
  };
  await assert.rejects(doEach(['a', 'b', 'c'], work), /^Error: a$/);
  assert.deepEqual(
    log,
    ['a', 'b', 'c'].flatMap(name => [`${name} begins`, `${name} ends`]),
  );
  await doEach(['b'], work);
});
