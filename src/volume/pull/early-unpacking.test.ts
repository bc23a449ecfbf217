import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Ingest } from '../../ports/store.ts';
import type { LayerArrival, UnpackSource } from '../../ports/unpacker.ts';
import { beginAnew, createFileState, setSize } from '../../util/growing-file.ts';
import { createEarlyUnpacking } from './early-unpacking.ts';

const size = 1000;
const never = new AbortController().signal;

/** An early unpacking of a file of which so many bytes are there as the test says, by means that it can see. */
function openWorld() {
  const state = createFileState();
  const file = { state } as Ingest['file'];
  const slot = Promise.withResolvers<Disposable>();
  const unpacked = Promise.withResolvers<void>();
  const seen = {
    slots: 0,
    disposed: 0,
    verified: false,
    signal: never,
    arrival: undefined as LayerArrival | undefined,
  };
  const early = createEarlyUnpacking(
    { path: 'partial', file },
    size,
    {
      slot: signal => {
        signal.addEventListener('abort', () => slot.reject(signal.reason));
        return slot.promise;
      },
      async unpack({ arrival }: UnpackSource, verified, signal) {
        verified.then(
          () => (seen.verified = true),
          () => {},
        );
        Object.assign(seen, { signal, arrival });
        signal.addEventListener('abort', () => unpacked.reject(signal.reason));
        await unpacked.promise;
        const dispose = async (): Promise<void> => void seen.disposed++;
        return { commit: async () => {}, [Symbol.asyncDispose]: dispose };
      },
    },
    never,
  );
  return {
    seen,
    early,
    state,
    unpacked,
    give: () => slot.resolve({ [Symbol.dispose]: () => void seen.slots++ }),
    reach(bytes: number): void {
      setSize(state, bytes);
      early.arrived();
    },
    arrival: (): LayerArrival => seen.arrival ?? assert.fail('nothing is unpacked'),
  };
}

test('a layer is unpacked from its first bytes on, and counts as unpacked when its file is verified', async () => {
  const { seen, early, give, reach, arrival, unpacked } = openWorld();
  reach(10);
  give();
  await turn();
  assert.equal(await arrival().more(0), 10);
  const more = arrival().more(10);
  await turn();
  reach(25);
  assert.equal(await more, 25);
  reach(size);
  assert.equal(await arrival().more(25), size);
  unpacked.resolve();
  await turn();
  assert.deepEqual([seen.slots, seen.verified], [1, false]);
  const layer = await early.finish();
  assert.ok(layer !== undefined && seen.verified);
  assert.equal(seen.disposed, 0);
  await early[Symbol.asyncDispose]();
  assert.equal(seen.disposed, 1);
});

test('a download that begins anew is not followed, whatever was unpacked, and also when it is as long again', async () => {
  for (const isUnpacked of [true, false]) {
    const { seen, early, give, reach, arrival, unpacked, state } = openWorld();
    reach(600);
    give();
    await turn();
    const waiting = assert.rejects(arrival().more(600), /began anew/);
    if (isUnpacked) unpacked.resolve();
    beginAnew(state);
    reach(700);
    await waiting;
    reach(size);
    await assert.rejects(arrival().more(10), /began anew/);
    assert.equal(await early.finish(), undefined);
    assert.deepEqual([seen.verified, seen.disposed], [false, isUnpacked ? 1 : 0]);
  }
});

test('what fails before the file is verified leaves it to be unpacked from the start', async () => {
  const { early, give, reach, unpacked, seen } = openWorld();
  reach(size);
  give();
  await turn();
  unpacked.reject(new Error('the tar is damaged'));
  await turn();
  assert.equal(await early.finish(), undefined);
  assert.equal(seen.slots, 1);
});

test('a layer that got no slot before it is here does not wait for one', async () => {
  const { early, reach } = openWorld();
  reach(size);
  assert.equal(await early.finish(), undefined);
});

test('a layer that did not arrive is not unpacked', async () => {
  const { early, seen } = openWorld();
  await early[Symbol.asyncDispose]();
  assert.equal(await early.finish(), undefined);
  assert.equal(seen.arrival, undefined);
});

test('a download that ends early ends the work, and waits for its end', async () => {
  const { early, give, reach, seen, arrival } = openWorld();
  reach(10);
  give();
  await turn();
  assert.equal(await arrival().more(0), 10);
  await early[Symbol.asyncDispose]();
  assert.ok(seen.signal.aborted);
  assert.equal(seen.slots, 1);
});
