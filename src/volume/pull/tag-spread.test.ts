import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createTagSpread } from './tag-spread.ts';

const most = 60_000;
const never = new AbortController().signal;

/** A spread whose random numbers are these, with a clock that a test moves. `asked` has the tags that need not wait. */
function openSpread(context: TestContext, ...numbers: readonly number[]) {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 0 });
  const left = [...numbers];
  const spread = createTagSpread(most, Date.now, () => left.shift() ?? assert.fail('no other wait'));
  const asked: string[] = [];
  const ask = (tag: string, signal: AbortSignal = never): Promise<void> =>
    spread(tag, signal).then(() => void asked.push(tag));
  /** Time passes, and what waits for it goes on. */
  const pass = async (ms: number): Promise<void> => {
    context.mock.timers.tick(ms);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  };
  return { asked, ask, pass };
}

test('the pods of a node wait for a tag until one random time, and not again soon', async context => {
  const { asked, ask, pass } = openSpread(context, 0.5, 0.25);
  void ask('a:1');
  await pass(20_000);
  void ask('a:1');
  await pass(9_999);
  assert.deepEqual(asked, []);
  await pass(1);
  assert.deepEqual(asked, ['a:1', 'a:1']);
  await pass(most - 1);
  await ask('a:1');
  assert.equal(asked.length, 3, 'it was asked for lately');
  await pass(1);
  void ask('a:1');
  await pass(14_999);
  assert.equal(asked.length, 3);
  await pass(1);
  assert.equal(asked.length, 4);
});

test('each tag has a time of its own, and a call that comes back keeps it', async context => {
  const { asked, ask, pass } = openSpread(context, 0.5, 0.1);
  const call = new AbortController();
  const first = assert.rejects(ask('a:1', call.signal), /deadline/);
  void ask('b:1');
  await pass(6_000);
  assert.deepEqual(asked, ['b:1']);
  call.abort(new Error('deadline'));
  await first;
  void ask('a:1');
  await pass(24_000);
  assert.deepEqual(asked, ['b:1', 'a:1']);
});
