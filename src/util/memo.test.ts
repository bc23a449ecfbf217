import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemo, createRecall } from './memo.ts';

const never = new AbortController().signal;

test('an answer is repeated while it is valid, and then requested again', async () => {
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

test('concurrent equal requests share one answer, even one that is never cached', async () => {
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

test('an answer may be cached under a wider key', async () => {
  const memo = createMemo<string>();
  await memo.recall('one', async () => ({ value: 'all', forMs: 1000, key: 'whole' }), never);
  assert.deepEqual([memo.find('one'), memo.find('whole')], [undefined, 'all']);
});

test('a failure reaches all waiting callers and is not cached', async () => {
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

test('an aborted caller gets its own reason, and the others the answer', async () => {
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

test('it caches a thousand answers, and drops the oldest', async () => {
  const memo = createMemo<number>();
  for (let i = 0; i <= 1000; i++)
    await memo.recall(String(i), async () => ({ value: i, forMs: 60_000 }), never);
  assert.equal(memo.find('0'), undefined);
  assert.equal(memo.find('1'), 1);
  assert.equal(memo.find('1000'), 1000);
});

test('the latest values are recalled up to a total size, and none that is too large', () => {
  const recall = createRecall<string, number>(10, 6);
  recall.keep('a', 1, 4);
  recall.keep('b', 2, 4);
  recall.keep('a', 3, 5);
  assert.deepEqual([recall.get('a'), recall.get('b')], [3, 2]);
  recall.keep('c', 4, 3); // b is the oldest
  assert.deepEqual(['a', 'b', 'c'].map(recall.get), [3, undefined, 4]);
  recall.keep('c', 5, 7);
  assert.deepEqual(['a', 'b', 'c'].map(recall.get), [3, undefined, undefined]);
});

test('without sizes, values are counted, and those that were kept last are recalled', () => {
  const recall = createRecall<string, number>(2);
  for (const [key, value] of [
    ['a', 1],
    ['b', 2],
    ['a', 3],
    ['c', 4],
  ] as const)
    recall.keep(key, value);
  assert.deepEqual(recall.values(), [3, 4]);
  recall.delete('a');
  recall.delete('a');
  recall.keep('d', 5);
  assert.deepEqual(recall.values(), [4, 5]);
});
