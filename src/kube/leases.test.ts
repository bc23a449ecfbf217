import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseObjects } from '../ports/kube-objects.ts';
import { openLeases } from './leases.ts';

const never = new AbortController().signal;
const path = 'apis/coordination.k8s.io/v1/namespaces/csi/leases';

type Stored = {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string };
  readonly spec: { readonly holderIdentity: string; readonly renewTime: string };
};

/** Nodes that share an API. Each has a clock of its own. */
function openWorld() {
  const stored = new Map<string, Stored>();
  const failing = new Set<string>();
  const removals: string[] = [];
  let version = 0;
  const put = (key: string, object: object): Stored => {
    const { metadata, ...rest } = object as Stored;
    const after = { ...rest, metadata: { ...metadata, resourceVersion: `${++version}` } };
    stored.set(key, after);
    return after;
  };
  const objects: LeaseObjects = {
    get: async names => stored.get(names.join('/')),
    async create(names, object) {
      const key = `${names.join('/')}/${(object as Stored).metadata.name}`;
      return stored.has(key) ? undefined : put(key, object);
    },
    async replace(names, object) {
      const key = names.join('/');
      const isStale =
        stored.get(key)?.metadata.resourceVersion !== (object as Stored).metadata.resourceVersion;
      return isStale ? undefined : put(key, object);
    },
    async remove(names, removed) {
      removals.push(names.join('/'));
      if (failing.has('remove')) throw new Error('the API failed');
      if (stored.get(names.join('/'))?.metadata.resourceVersion === removed) stored.delete(names.join('/'));
    },
  };
  const openNode = (nodeId: string, from = 0) => {
    const clock = { at: from };
    const lease = openLeases(objects, { namespace: () => 'csi', nodeId }, () => clock.at)('one', 60);
    return {
      clock,
      take: () => lease.take(never),
      isHeld: lease.isHeld,
      release: () => lease.release(never),
    };
  };
  return {
    openNode,
    failing,
    removals,
    holder: () => stored.get(`${path}/oci-artifact-csi-one`)?.spec.holderIdentity,
    put,
  };
}

test('one node at a time has a lease, and renews it', async () => {
  const { openNode, holder } = openWorld();
  const [a, b] = [openNode('a'), openNode('b')];
  assert.deepEqual([await a.take(), await b.take()], [true, false]);
  assert.deepEqual([a.isHeld(), b.isHeld(), holder()], [true, false, 'a']);
  for (let minute = 0; minute < 5; minute++) {
    a.clock.at += 30_000;
    b.clock.at += 30_000;
    assert.deepEqual([await a.take(), await b.take()], [true, false]);
  }
});

test('a lease that is not renewed passes on when it was seen unchanged for its duration, whatever its clock says', async () => {
  const { openNode, holder } = openWorld();
  // The clock of b is hours ahead of that of a.
  const [a, b] = [openNode('a'), openNode('b', 9 * 3_600_000)];
  await a.take();
  assert.equal(await b.take(), false, 'seen for the first time');
  b.clock.at += 59_000;
  assert.equal(await b.take(), false);
  b.clock.at += 1_000;
  assert.deepEqual([await b.take(), holder()], [true, 'b']);
  a.clock.at += 61_000;
  assert.equal(a.isHeld(), false, 'a knows without asking');
  assert.equal(await a.take(), false);
});

test('a holder that says that it has a lease for years has it for no longer than others would', async () => {
  const { openNode, holder, put } = openWorld();
  const spec = { holderIdentity: 'a', leaseDurationSeconds: 2 ** 31 - 1 };
  put(`${path}/oci-artifact-csi-one`, { metadata: { name: 'oci-artifact-csi-one' }, spec });
  const b = openNode('b');
  assert.equal(await b.take(), false, 'seen for the first time');
  b.clock.at += 60_000;
  assert.deepEqual([await b.take(), holder()], [true, 'b']);
});

test('of nodes that take a lease that has passed at the same time, one has it', async () => {
  const { openNode } = openWorld();
  const [a, b, c] = [openNode('a'), openNode('b'), openNode('c')];
  await a.take();
  for (const node of [b, c]) await node.take();
  for (const node of [b, c]) node.clock.at += 60_000;
  assert.equal((await Promise.all([b.take(), c.take()])).filter(taken => taken).length, 1);
});

test('a daemon that starts again on the same node has its lease at once', async () => {
  const { openNode } = openWorld();
  await openNode('a').take();
  assert.equal(await openNode('a', 5).take(), true);
});

test('a released lease is gone, and a lost one is left to its holder', async () => {
  const { openNode, holder, removals } = openWorld();
  const [a, b] = [openNode('a'), openNode('b')];
  await a.take();
  for (let times = 0; times < 2; times++) await a.release();
  assert.deepEqual([a.isHeld(), holder(), removals.length], [false, undefined, 1]);
  await a.take();
  await b.take();
  b.clock.at += 60_000;
  await b.take();
  await a.release();
  assert.equal(holder(), 'b');
  await b.release();
  await a.take();
  await b.take();
  b.clock.at += 60_000;
  await b.take();
  assert.equal(await a.take(), false);
  const before = removals.length;
  await a.release();
  assert.equal(removals.length, before, 'it is known to be lost');
});

test('a release that failed may be called again, also after the time of the lease, and takes it from nobody', async () => {
  const { openNode, holder, failing } = openWorld();
  const [a, b] = [openNode('a'), openNode('b')];
  await a.take();
  failing.add('remove');
  await assert.rejects(a.release());
  assert.deepEqual([a.isHeld(), holder()], [false, 'a']);
  failing.clear();
  a.clock.at += 90_000;
  await a.release();
  assert.equal(holder(), undefined);
  await a.take();
  failing.add('remove');
  await assert.rejects(a.release());
  failing.clear();
  await b.take();
  b.clock.at += 60_000;
  await b.take();
  await a.release();
  assert.equal(holder(), 'b');
});
