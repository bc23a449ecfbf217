import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Sink } from '../../ports/registry.ts';
import { openTenants } from '../../util/fair-slots.ts';
import { createFileState, setSize, sizeOf, waitForRoom } from '../../util/growing-file.ts';
import { createBandwidth } from './bandwidth.ts';

const never = new AbortController().signal;
const rate = 1_000_000;

/** A download that a thread writes, which fills all the room that it gets at once. */
function openFile() {
  const state = createFileState();
  const file = { fd: -1, algorithm: 'sha256', state, grown() {}, hashed() {}, failed: () => new Error('-') };
  const sink: Sink = {
    get offset() {
      return sizeOf(state);
    },
    write() {},
    restart() {},
    file,
  };
  return {
    sink,
    size: () => sizeOf(state),
    /** Writes chunks while there is room, as the thread does; at most so many. */
    fill(most: number) {
      const chunk = 1_000;
      for (let left = most; left > 0 && waitForRoom(state) === undefined; left -= chunk)
        setSize(state, sizeOf(state) + chunk);
    },
    grow: (bytes: number) => setSize(state, sizeOf(state) + bytes),
  };
}

/** Lets time pass in small steps, and calls back at each. */
async function pass(t: TestContext, ms: number, each: () => void = () => {}): Promise<void> {
  for (let at = 0; at < ms; at += 50) {
    t.mock.timers.tick(50);
    await turn();
    each();
  }
}

function mockTime(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  t.mock.method(performance, 'now', Date.now);
}

test('two downloads share the rate, and a chunk beyond the limit is counted', async t => {
  mockTime(t);
  const bandwidth = createBandwidth(rate, 'prefetch');
  const [one, other] = [openFile(), openFile()];
  using _one = await bandwidth.slow(one.sink, 1e9, openTenants('prefetch'), never);
  using _other = await bandwidth.slow(other.sink, 1e9, openTenants('prefetch'), never);
  await pass(t, 10_000, () => {
    one.fill(1e9);
    other.fill(1e9);
  });
  const total = one.size() + other.size();
  assert.ok(total > 0.9 * 10 * rate && total <= 1.05 * 10 * rate, String(total));
  assert.ok(Math.min(one.size(), other.size()) > 0.4 * total);
});

test('bytes that no thread wrote are waited for afterwards', async t => {
  mockTime(t);
  const bandwidth = createBandwidth(rate, 'prefetch');
  const file = openFile();
  using _ = await bandwidth.slow(file.sink, 1e9, openTenants('prefetch'), never);
  file.grow(5 * rate);
  await pass(t, 4_800, () => file.fill(1e9));
  assert.equal(file.size(), 5 * rate);
  await pass(t, 1_200, () => file.fill(1e9));
  assert.ok(file.size() > 5 * rate && file.size() < 6.5 * rate, String(file.size()));
});

test('small content waits for the time of what came before', async t => {
  mockTime(t);
  const bandwidth = createBandwidth(rate, 'prefetch');
  const sink: Sink = { offset: 0, write() {}, restart() {} };
  const begun: number[] = [];
  const began = performance.now();
  for (let i = 0; i < 3; i++)
    void bandwidth
      .slow(sink, rate / 2, openTenants('prefetch'), never)
      .then(() => begun.push(performance.now() - began));
  await turn();
  await pass(t, 1_200);
  assert.deepEqual(begun.map(Math.round), [0, 500, 1000]);
});

test('another tenant lifts the limit, also of a download that waits for its turn; the end does too', async t => {
  mockTime(t);
  const bandwidth = createBandwidth(rate, 'prefetch');
  const tenants = openTenants('prefetch');
  const file = openFile();
  {
    using _ = await bandwidth.slow(file.sink, 1e9, tenants, never);
    await pass(t, 100, () => file.fill(1e9));
    tenants.join('namespace shop');
    file.fill(50 * rate);
    assert.ok(file.size() >= 50 * rate);
  }
  const ended = openFile();
  (await bandwidth.slow(ended.sink, 1e9, openTenants('prefetch'), never))[Symbol.dispose]();
  ended.fill(5 * rate);
  assert.ok(ended.size() >= 5 * rate);

  const small: Sink = { offset: 0, write() {}, restart() {} };
  await bandwidth.slow(small, 100 * rate, openTenants('prefetch'), never);
  const waiting = openTenants('prefetch');
  let begun = false;
  void bandwidth.slow(small, 1, waiting, never).then(() => (begun = true));
  await pass(t, 1_000);
  assert.equal(begun, false);
  waiting.join('administrator');
  await pass(t, 50);
  assert.equal(begun, true);
});
