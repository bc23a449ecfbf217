import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemo } from './memo.ts';

const never = new AbortController().signal;

test('an answer is given again for as long as it holds, and then asked for anew', async () => {
  let time = 0;
  let asked = 0;
  const memo = createMemo<number>(() => time);
  const ask = async () => ({ value: (asked += 1), forMs: 10 });
  assert.equal(await memo.recall('a', ask, never), 1);
  time = 9;
  assert.equal(await memo.recall('a', ask, never), 1);
  assert.equal(memo.find('a'), 1);
  assert.equal(await memo.recall('b', ask, never), 2);
  time = 10;
  assert.equal(memo.find('a'), undefined);
  assert.equal(await memo.recall('a', ask, never), 3);
});

test('who asks the same at once waits for one answer, also one that holds for no time', async () => {
  let asked = 0;
  const memo = createMemo<number>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const ask = async () => {
    asked += 1;
    await promise;
    return { value: asked, forMs: 0 };
  };
  const both = Promise.all([memo.recall('a', ask, never), memo.recall('a', ask, never)]);
  resolve();
  assert.deepEqual(await both, [1, 1]);
  assert.equal(memo.find('a'), undefined);
  assert.equal(await memo.recall('a', ask, never), 2);
});

test('an answer may hold for more than it was asked for', async () => {
  const memo = createMemo<string>();
  await memo.recall('one', async () => ({ value: 'all', forMs: 1000, key: 'whole' }), never);
  assert.deepEqual([memo.find('one'), memo.find('whole')], [undefined, 'all']);
});

test('a failure reaches all who wait and is forgotten', async () => {
  const memo = createMemo<number>();
  const fail = async (): Promise<never> => {
    throw new Error('no');
  };
  const outcomes = await Promise.allSettled([memo.recall('a', fail, never), memo.recall('a', fail, never)]);
  assert.deepEqual(
    outcomes.map(outcome => outcome.status),
    ['rejected', 'rejected'],
  );
  assert.equal(await memo.recall('a', async () => ({ value: 1, forMs: 1 }), never), 1);
});

test('one who leaves gets the own reason, and the others the answer', async () => {
  const memo = createMemo<number>();
  const leaving = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  const ask = async () => {
    await promise;
    return { value: 7, forMs: 1000 };
  };
  const left = memo.recall('a', ask, leaving.signal);
  const stayed = memo.recall('a', ask, never);
  leaving.abort(new Error('gone'));
  await assert.rejects(left, /^Error: gone$/);
  resolve();
  assert.equal(await stayed, 7);
  await assert.rejects(memo.recall('a', ask, leaving.signal), /^Error: gone$/);
});

test('it keeps a thousand answers, and lets the oldest go', async () => {
  const memo = createMemo<number>();
  for (let i = 0; i <= 1000; i++)
    await memo.recall(String(i), async () => ({ value: i, forMs: 60_000 }), never);
  assert.equal(memo.find('0'), undefined);
  assert.equal(memo.find('1'), 1);
  assert.equal(memo.find('1000'), 1000);
});
