import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createUpkeep } from './upkeep.ts';

test('a step that fails is logged by its name, and the later ones are done', async t => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const closing = new AbortController();
  const warned: string[] = [];
  const done = Promise.withResolvers<void>();
  const fail = (why: string) => (): never => {
    throw new Error(why);
  };
  const reject = async (): Promise<never> => fail('rejected')();
  const steps = { collecting: fail('thrown'), removing: reject, ending: () => done.resolve() };
  createUpkeep(steps, [], text => void warned.push(text), closing.signal);
  t.mock.timers.tick(60_000);
  await done.promise;
  assert.deepEqual(warned, ['collecting failed: thrown', 'removing failed: rejected']);
  closing.abort();
});
