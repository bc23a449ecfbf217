import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openObjectServer } from '../../test/support/node/object-server.ts';
import type { SlotPlace, SlotTimes } from '../ports/slots.ts';
import { createRequestPace } from '../util/request-pace.ts';
import { openKubeObjects } from './objects.ts';
import { openSlots } from './slots.ts';

const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const server = stack.use(await openObjectServer());
const leases = '/apis/coordination.k8s.io/v1/namespaces/csi/leases/oci-artifact-csi-';
const times: SlotTimes = {
  seekMs: 5_000,
  longestSeekMs: 30_000,
  idleMs: 15_000,
  stepMs: 5,
};

/** A node whose clock only the test moves. It may always ask, unless a pace is given. */
function openNode(nodeId: string, random = 0, requests = { everyMs: 0, burst: 1 }) {
  const clock = { at: 0 };
  const now = (): number => clock.at;
  const pace = createRequestPace(requests, now);
  const slots = stack.use(
    openSlots(
      openKubeObjects(server.cluster),
      { namespace: () => 'csi', nodeId },
      [key => `test-${key}`, times, pace, () => {}],
      { now, random: () => random },
    ),
  );
  return { clock, slots };
}

const pathOf = (key: string, slot: number): string => `${leases}test-${key}-${slot}`;
const holderOf = (key: string, slot = 0): unknown => server.get(pathOf(key, slot))?.['spec'].holderIdentity;
const foreign = { spec: { holderIdentity: 'another', leaseDurationSeconds: 3600 } };
/** How often a slot was looked at. */
const looksAt = (key: string): number =>
  server.asked.filter(({ method, url }) => method === 'GET' && url === pathOf(key, 0)).length;

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); await sleep(5)) assert.ok(Date.now() < end, what);
}
const held = (place: SlotPlace): Promise<void> => until('the slot is taken', () => place.isHeld());

test('a slot is renewed in one request while it is in use, and stays taken for a while after it', async () => {
  const { clock, slots } = openNode('a');
  const place = slots.want('kept', 1);
  await held(place);
  const looks = looksAt('kept');
  const use = place.use();
  for (let renewal = 0; renewal < 5; renewal++) {
    const before = server.get(pathOf('kept', 0));
    clock.at += 30_000;
    await until('it is renewed', () => server.get(pathOf('kept', 0)) !== before);
  }
  assert.equal(looksAt('kept'), looks);
  use[Symbol.dispose]();
  clock.at += 14_999;
  const again = slots.want('kept', 1);
  assert.equal(again.isHeld(), true);
  again.use()[Symbol.dispose]();
  clock.at += 14_999;
  assert.equal(holderOf('kept'), 'a');
  clock.at += 1;
  await until('it is given back', () => holderOf('kept') === undefined);
});

test('a node that gets no slot asks again after growing waits, while it wants one', async () => {
  server.put(pathOf('busy', 0), foreign);
  const { clock, slots } = openNode('a');
  const waits: number[] = [];
  for (let last = 0; waits.length < 6; ) {
    const before = looksAt('busy');
    slots.want('busy', 1);
    await sleep(50); // for the work, which looks every 5 ms
    if (looksAt('busy') > before) {
      waits.push(clock.at - last);
      last = clock.at;
    }
    clock.at += 500;
  }
  const right = [0, 2_500, 5_000, 10_000, 15_000, 15_000]; // without chance, half of 5 s, 10 s, 20 s, 30 s
  // An attempt that the machine was too busy for came half a second later, and one before that again.
  for (const [nth, wait] of waits.entries())
    assert.ok(Math.abs(wait - (right[nth] ?? 0)) <= 2_000, waits.join());
  const before = looksAt('busy');
  clock.at += 20_000;
  await until('nothing wants it any more', () => slots.places().length === 0);
  assert.equal(looksAt('busy'), before);
});

test('a slot that another node has taken is lost, also while it is in use', async () => {
  const { clock, slots } = openNode('a');
  const place = slots.want('lost', 1);
  await held(place);
  using _use = place.use();
  server.put(pathOf('lost', 0), foreign);
  clock.at += 30_000;
  await until('it is lost', () => !place.isHeld());
  assert.equal(holderOf('lost'), 'another');
  server.remove(pathOf('lost', 0));
  clock.at += 30_000;
  await held(place);
});

test('nodes begin with different slots, each by its chance, and count those that there are now', async () => {
  const nodes = [0, 0.5, 0.999].map(random => openNode(`node-${random}`, random));
  for (const { slots } of nodes) await held(slots.want('chance', 10));
  assert.deepEqual(
    [0, 5, 9].map(slot => holderOf('chance', slot)),
    ['node-0', 'node-0.5', 'node-0.999'],
  );
  for (const slot of [0, 1]) server.put(pathOf('fewer', slot), foreign);
  const { clock, slots } = openNode('a', 0.999);
  server.put(pathOf('fewer', 9), foreign);
  const place = slots.want('fewer', 10);
  await place.first;
  server.remove(pathOf('fewer', 1));
  for (const end = Date.now() + 20_000; !place.isHeld(); await sleep(50)) {
    assert.ok(Date.now() < end);
    slots.want('fewer', 2);
    clock.at += 5_000;
  }
  assert.equal(holderOf('fewer', 1), 'a');
});

test('of many keys, a node has slots of four at once, in turns, within the pace of its requests', async () => {
  const { clock, slots } = openNode('a', 0, { everyMs: 5_000, burst: 7 });
  const keys = Array.from({ length: 10 }, (_, nth) => `many-${nth}`);
  const uses = new Map<string, { readonly use: Disposable; readonly until: number }>();
  const had = new Set<string>();
  const before = server.asked.length;
  for (; had.size < keys.length; clock.at += 5_000) {
    assert.ok(clock.at < 3_600_000, [...had].join());
    for (const key of keys) {
      if (had.has(key) && !uses.has(key)) continue; // its work is done
      const place = slots.want(key, 1);
      const using = uses.get(key);
      if (using === undefined && place.isHeld())
        uses.set(key, { use: place.use(), until: clock.at + 60_000 });
      if (using === undefined || clock.at < using.until) continue;
      using.use[Symbol.dispose]();
      uses.delete(key);
      had.add(key);
    }
    await sleep(30); // for the work, which looks every 5 ms, and for its requests
    assert.ok(slots.places().filter(place => place.isHeld()).length <= 4);
  }
  const asked = server.asked.length - before;
  assert.ok(asked <= clock.at / 5_000 + 2 * 7, `${asked} in ${clock.at} ms`);
});

test('renewals that fail are tried again within the pace, while the slots are held', async () => {
  const { clock, slots } = openNode('a');
  const places = ['one', 'two', 'three', 'four'].map(key => slots.want(`failing-${key}`, 1));
  for (const place of places) await held(place);
  const uses = places.map(place => place.use());
  server.refuse(() => 503);
  const before = server.asked.length;
  for (; clock.at < 85_000; clock.at += 1_000) await sleep(15);
  server.refuse(() => undefined);
  const asked = server.asked.length - before;
  assert.ok(asked >= 2 && asked <= (85 - 30) / 5 + 4, `${asked}`);
  for (const use of uses) use[Symbol.dispose]();
});

test('a slot that cannot be given back is given back when the API allows it, without anyone who wants one', async () => {
  const { clock, slots } = openNode('a');
  const place = slots.want('returned', 1);
  await held(place);
  place.use()[Symbol.dispose]();
  server.refuse(method => (method === 'DELETE' ? 503 : undefined));
  clock.at += 15_000;
  await until('it is tried', () => slots.problem() !== undefined);
  clock.at += 5_000;
  await until('nobody wants it', () => slots.places().length === 0);
  assert.equal(slots.trouble(), undefined);
  assert.equal(holderOf('returned'), 'a');
  server.refuse(() => undefined);
  clock.at += 15_000;
  await until('it is given back', () => holderOf('returned') === undefined);
  await until('nothing is wrong', () => slots.problem() === undefined);
});

test('a slot whose time ended while the API failed is given back later, unless another node has it', async () => {
  const { clock, slots } = openNode('a');
  for (const key of ['ended', 'taken']) {
    const place = slots.want(key, 1);
    await held(place);
    place.use()[Symbol.dispose]();
  }
  const uses = ['ended', 'taken'].map(key => slots.want(key, 1).use());
  server.refuse(() => 503);
  clock.at += 90_000;
  await until('they are lost', () => slots.places().every(place => !place.isHeld()));
  for (const use of uses) use[Symbol.dispose]();
  for (let seconds = 0; seconds < 60; seconds += 10) {
    clock.at += 10_000;
    await sleep(20);
  }
  await until('nobody wants them', () => slots.places().length === 0);
  server.put(pathOf('taken', 0), foreign);
  server.refuse(() => undefined);
  clock.at += 600_000;
  await until('it is given back', () => holderOf('ended') === undefined);
  await sleep(50);
  assert.equal(holderOf('taken'), 'another');
});

test('a slot whose time ended while the API failed is not given back when it is taken again', async () => {
  const { clock, slots } = openNode('a');
  const place = slots.want('again', 1);
  await held(place);
  using _use = place.use();
  server.refuse(() => 503);
  clock.at += 90_000;
  await until('it is lost', () => !place.isHeld());
  const returned = (): number => server.asked.filter(({ method }) => method === 'DELETE').length;
  server.refuse(() => undefined);
  const returns = returned();
  clock.at += 3_000; // less than the wait of a return
  await held(place);
  for (let renewal = 0; renewal < 4; renewal++) {
    const before = server.get(pathOf('again', 0));
    clock.at += 30_000;
    await until('it is renewed', () => server.get(pathOf('again', 0)) !== before);
  }
  await sleep(50); // for the work
  assert.deepEqual([holderOf('again'), returned()], ['a', returns]);
});

test('a place beyond the most slots is answered at once, and gets a slot when one is given back', async () => {
  const { clock, slots } = openNode('a');
  const uses = [];
  for (const key of ['one', 'two', 'three', 'four']) {
    const place = slots.want(`full-${key}`, 1);
    await held(place);
    uses.push(place.use());
  }
  const fifth = slots.want('full-five', 1);
  using _use = fifth.use();
  await fifth.first;
  assert.equal(fifth.isHeld(), false);
  for (const use of uses) use[Symbol.dispose]();
  clock.at += 15_000;
  await held(fifth);
});

test('of many keys whose slots others have, each is looked at in its turn', async () => {
  const keys = Array.from({ length: 12 }, (_, nth) => `turn-${nth}`);
  for (const key of keys) server.put(pathOf(key, 0), foreign);
  const { clock, slots } = openNode('a', 0, { everyMs: 5_000, burst: 1 });
  for (; clock.at <= 2 * 12 * 5_000; clock.at += 5_000) {
    for (const key of keys) slots.want(key, 1);
    await sleep(40); // for the work, which looks every 5 ms
  }
  assert.deepEqual(
    keys.filter(key => looksAt(key) === 0),
    [],
  );
});

test('renewals have their turns when the API is slow: what has been due for longest comes first', async () => {
  const { clock, slots } = openNode('a');
  const keys = ['one', 'two', 'three', 'four'].map(key => `slow-${key}`);
  const uses = [];
  for (const key of keys) {
    const place = slots.want(key, 1);
    await held(place);
    uses.push(place.use());
  }
  const tried = new Set<string>();
  server.refuse((_, path) => {
    tried.add(path);
    clock.at += 20_000;
    return 503;
  });
  clock.at += 30_000;
  await until('their time ends', () => slots.places().every(place => !place.isHeld()));
  server.refuse(() => undefined);
  assert.ok(tried.size >= 3, [...tried].join());
  for (const use of uses) use[Symbol.dispose]();
});

test('slots are given back within the pace, and all that are left at the end', async () => {
  const { clock, slots } = openNode('a', 0, { everyMs: 5_000, burst: 1 });
  const keys = ['one', 'two', 'three'].map(key => `late-${key}`);
  const left = (): number => keys.filter(key => holderOf(key) !== undefined).length;
  server.refuse(method => (method === 'DELETE' ? 503 : undefined));
  for (const key of keys) {
    const place = slots.want(key, 1);
    for (; !place.isHeld(); clock.at += 5_000) await sleep(40);
    place.use()[Symbol.dispose]();
  }
  clock.at += 30_000;
  await until('nobody wants them', () => slots.places().length === 0);
  assert.equal(left(), 3);
  server.refuse(() => undefined);
  clock.at += 600_000; // all are due
  await until('one is given back', () => left() === 2);
  await sleep(40); // for the work, which looks every 5 ms
  assert.equal(left(), 2);
  await slots[Symbol.asyncDispose]();
  assert.equal(left(), 0);
});
