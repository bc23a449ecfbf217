import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TriedLandings } from '../../ports/landing.ts';
import { ArtifactError } from '../../util/error.ts';
import { openNodeLandings } from './node-landings.ts';

/** Landings that end when they are told. */
function sampleLandings(): TriedLandings & { end(why: string): void; readonly isDisposed: () => boolean } {
  let why: string | undefined;
  let isDisposed = false;
  return {
    keepsMaps: false,
    add: () => ({ path: '', [Symbol.dispose]() {} }),
    failure: () => why,
    leave() {},
    end: reason => {
      why = reason;
    },
    isDisposed: () => isDisposed,
    [Symbol.asyncDispose]: async () => {
      isDisposed = true;
    },
  };
}

const none = async (): Promise<undefined> => undefined;

test('landings are opened once, at the first call', async () => {
  let tries = 0;
  const landings = sampleLandings();
  const open = async (): Promise<TriedLandings> => {
    tries++;
    return landings;
  };
  const node = openNodeLandings(undefined, open, none);
  assert.deepEqual(node.support(), { kind: 'untried' });
  assert.deepEqual(await Promise.all([node.open(), node.open()]), [landings, landings]);
  assert.equal(tries, 1);
  assert.deepEqual(node.support(), { kind: 'on' });
  await node[Symbol.asyncDispose]();
  assert.ok(landings.isDisposed());
});

test('what must not be tried is not', async () => {
  const node = openNodeLandings('--on-demand is off', () => assert.fail(), none);
  assert.equal(await node.open(), undefined);
  assert.deepEqual(node.support(), { kind: 'off', reason: '--on-demand is off' });
  await node[Symbol.asyncDispose]();
});

test('what failed or has ended is tried again after five minutes', async () => {
  let now = 0;
  const [first, second] = [sampleLandings(), sampleLandings()];
  const outcomes: (() => TriedLandings)[] = [
    () => {
      throw new ArtifactError('unavailable', 'the kernel did not answer in time');
    },
    () => first,
    () => {
      throw new ArtifactError('unavailable', 'too many open files');
    },
    () => second,
  ];
  const tryLandings = async (): Promise<TriedLandings> => outcomes.shift()?.() ?? assert.fail();
  const node = openNodeLandings(undefined, tryLandings, none, () => now);
  const isOff = async (reason: string): Promise<void> => {
    assert.equal(await node.open(), undefined);
    assert.deepEqual(node.support(), { kind: 'off', reason });
  };
  await isOff('the kernel did not answer in time');
  now += 299_999;
  await isOff('the kernel did not answer in time');
  now++;
  assert.equal(await node.open(), first);
  assert.deepEqual(node.support(), { kind: 'on' });
  now += 1000;
  first.end('the thread for missing bytes has failed');
  await isOff('the thread for missing bytes has failed');
  now += 300_000;
  await isOff('too many open files');
  now += 300_000;
  assert.equal(await node.open(), second);
  assert.deepEqual(node.support(), { kind: 'on' });
});

test('landings of an earlier process are continued, and opened anew when they have ended', async () => {
  let now = 0;
  const [earlier, next] = [sampleLandings(), sampleLandings()];
  const node = openNodeLandings(
    undefined,
    async () => next,
    async () => earlier,
    () => now,
  );
  assert.equal(await node.resume(() => {}), earlier);
  assert.deepEqual(node.support(), { kind: 'on' });
  assert.equal(await node.open(), earlier);
  earlier.end('the kernel has ended it');
  now += 300_000;
  assert.equal(await node.open(), next);
  assert.equal(
    await openNodeLandings(
      '--on-demand is off',
      () => assert.fail(),
      () => assert.fail(),
    ).resume(() => {}),
    undefined,
  );
});
