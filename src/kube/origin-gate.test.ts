import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ObjectServer, openObjectServer } from '../../test/support/node/object-server.ts';
import { findPause } from '../util/pause.ts';
import { openKubeObjects } from './objects.ts';
import { openOriginGate } from './origin-gate.ts';

const never = new AbortController().signal;
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const leases = '/apis/coordination.k8s.io/v1/namespaces/csi/leases';
const host = 'Registry.example.com:5000';
const repository = { host, path: 'models/llama' };
const patienceMs = 150_000;

const openServer = async (): Promise<ObjectServer> => stack.use(await openObjectServer());

/** A node whose clock only the test moves. */
function openNode(server: ObjectServer, nodeId: string, slots = 1) {
  const clock = { at: 1_000 };
  const noted: string[] = [];
  const gate = openOriginGate(
    openKubeObjects(server.cluster),
    { namespace: () => 'csi', nodeId, slots, patienceMs },
    problem => noted.push(problem),
    { now: () => clock.at, random: () => 0 },
  );
  stack.use(gate);
  const enter = () => gate.enter(repository, never);
  /** What the node waits for; undefined if it need not. */
  const pauseOf = async (): Promise<string | undefined> => {
    try {
      const entry = await enter();
      entry[Symbol.dispose]();
      return undefined;
    } catch (thrown) {
      return findPause(thrown)?.reason ?? assert.fail(String(thrown));
    }
  };
  /** Moves the clock as pulls do that ask again every 5 s. Answers the time until the node may enter. */
  const waitedMs = async (longestMs: number): Promise<number | undefined> => {
    const from = clock.at;
    while (clock.at - from <= longestMs) {
      if ((await pauseOf()) === undefined) return clock.at - from;
      clock.at += 5_000;
      await sleep(250); // for the work, which looks every 100 ms, and for its requests
    }
    return undefined;
  };
  return { clock, gate, noted, enter, pauseOf, waitedMs };
}

const held = (server: ObjectServer): readonly string[] => {
  const paths = new Set(server.asked.flatMap(({ method, url }) => (method === 'GET' ? [url] : [])));
  return [...paths].flatMap(path => (server.get(path)?.['spec'].holderIdentity as string | undefined) ?? []);
};

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); await sleep(20)) assert.ok(Date.now() < end, what);
}

test('one node at a time takes blobs, the others are told who does, and the next one follows', async () => {
  const server = await openServer();
  const [a, b] = [openNode(server, 'node-a'), openNode(server, 'node-b')];
  const entry = await a.enter();
  using _second = await a.enter();
  assert.deepEqual(held(server), ['node-a']);
  const waits =
    /^this node waits for the slot of Registry\.example\.com:5000 \(held by node-a\) until 20\d\d-\S+Z$/;
  assert.match((await b.pauseOf()) ?? '', waits);
  assert.match(b.gate.notes().join('\n'), waits);
  assert.deepEqual(
    [a.gate.counts(), b.gate.counts()],
    [
      { held: 1, waiting: 0, without: 0 },
      { held: 0, waiting: 1, without: 0 },
    ],
  );
  entry[Symbol.dispose]();
  a.clock.at += 60_000;
  await sleep(300);
  assert.deepEqual(held(server), ['node-a'], 'another pull of the node is there');
  _second[Symbol.dispose]();
  a.clock.at += 2_000;
  await until('released', () => held(server).length === 0);
  a.clock.at += 10_000;
  await sleep(300);
  assert.deepEqual(held(server), [], 'nobody wants it any more');
  assert.ok((await b.waitedMs(30_000)) !== undefined);
  assert.deepEqual(held(server), ['node-b']);
});

test('several slots are found, whoever has the others', async () => {
  const server = await openServer();
  const nodes = ['a', 'b', 'c'].map(name => openNode(server, name, 3));
  const entries = [];
  for (const node of nodes) {
    assert.ok((await node.waitedMs(60_000)) !== undefined);
    entries.push(await node.enter());
  }
  assert.deepEqual(held(server).toSorted(), ['a', 'b', 'c']);
  assert.match(
    (await openNode(server, 'd', 3).pauseOf()) ?? '',
    /waits for one of 3 slots of .* \(held by a\) until/,
  );
});

test('the slot of a node that died is taken over when it has not changed for its time', async () => {
  const server = await openServer();
  await openNode(server, 'dead').enter(); // its clock stands, so it renews nothing
  const b = openNode(server, 'b');
  const waited = await b.waitedMs(150_000);
  assert.ok(waited !== undefined && waited >= 90_000, `${waited}`);
  assert.deepEqual(held(server), ['b']);
});

test('a slot in use is renewed, and the API gets a request in five seconds on average', async () => {
  const server = await openServer();
  const [a, b] = [openNode(server, 'a'), openNode(server, 'b')];
  using _entry = await a.enter();
  for (let seconds = 0; seconds < 140; seconds += 10) {
    a.clock.at += 10_000;
    b.clock.at += 10_000;
    assert.notEqual(await b.pauseOf(), undefined, `after ${seconds} s`);
    await sleep(250);
  }
  // Two nodes, 140 s, and six requests of each at once.
  assert.ok(server.asked.length > 15 && server.asked.length <= 2 * (140 / 5 + 6), `${server.asked.length}`);
});

test('a node takes blobs without a slot when its patience has ended', async () => {
  const server = await openServer();
  using _entry = await openNode(server, 'a').enter();
  const b = openNode(server, 'b');
  await b.pauseOf();
  server.refuse(method => (method === 'GET' ? undefined : 409)); // it is not taken over either
  const waited = await b.waitedMs(patienceMs + 5_000);
  assert.equal(waited, patienceMs);
  assert.deepEqual(b.gate.counts(), { held: 0, waiting: 0, without: 1 });
});

test('while mirrors send of a repository, its patience stands still, and that of others does not', async () => {
  const server = await openServer();
  using _entry = await openNode(server, 'a').enter();
  const b = openNode(server, 'b');
  await b.pauseOf();
  server.refuse(method => (method === 'GET' ? undefined : 409));
  b.clock.at += 50_000;
  for (let ms = 0; ms <= 2 * patienceMs; ms += 5_000) {
    b.gate.came(repository);
    b.clock.at += 5_000;
    await b.pauseOf();
  }
  using _other = await b.gate.enter({ host, path: 'models/other' }, never);
  assert.deepEqual(b.gate.counts(), { held: 0, waiting: 1, without: 0 });
  const waited = await b.waitedMs(patienceMs);
  // What came last was 5 s ago, and 50 s had passed before the first.
  assert.equal(waited, patienceMs - 55_000);
});

test('a node whose patience has ended waits no second time for the next blob', async () => {
  const server = await openServer();
  using _entry = await openNode(server, 'a').enter();
  const b = openNode(server, 'b');
  await b.pauseOf();
  server.refuse(method => (method === 'GET' ? undefined : 409));
  assert.equal(await b.waitedMs(patienceMs + 5_000), patienceMs);
  for (const restMs of [0, 1_000, 10_000]) {
    b.clock.at += restMs;
    await sleep(250); // for the work: nobody uses it
    assert.equal(await b.pauseOf(), undefined, `after ${restMs} ms`);
  }
  b.clock.at += 20_000;
  await sleep(250);
  assert.notEqual(await b.pauseOf(), undefined, 'another pull waits');
});

test('without the right to Leases nothing waits, and the missing rule is named', async () => {
  const server = await openServer();
  server.refuse(() => 403);
  const a = openNode(server, 'a');
  assert.equal(await a.pauseOf(), undefined);
  assert.match(
    a.gate.notes()[0] ?? '',
    /^the slots of --origin-slots cannot be taken: this daemon may not get leases in the namespace csi; .* \{apiGroups: \["coordination\.k8s\.io"\], resources: \[leases\], verbs: \[get\]\}/,
  );
  const asked = server.asked.length;
  a.clock.at += 30_000;
  await sleep(250);
  assert.equal(server.asked.length, asked, 'it is not tried all the time');
  assert.deepEqual(a.noted, a.gate.notes());
});

test('while the API fails a pull waits for half a minute; when it is back slots count again', async () => {
  const server = await openServer();
  server.refuse(() => 503);
  const a = openNode(server, 'a');
  const waited = await a.waitedMs(60_000);
  assert.ok(waited !== undefined && waited >= 30_000 && waited <= 40_000, `${waited}`);
  assert.match(a.gate.notes().join('\n'), /cannot be taken: the Kubernetes API at \S+ answered 503/);
  server.refuse(() => undefined);
  for (let tries = 0; a.gate.counts().held === 0; tries++) {
    assert.ok(tries < 10);
    a.clock.at += 5_000;
    await a.pauseOf();
    await sleep(250);
  }
  assert.deepEqual(a.gate.notes(), []);
});

test('an API that dies ends no transfer, and the next ones go on after a while', async () => {
  const server = await openServer();
  const a = openNode(server, 'a');
  using _entry = await a.enter();
  server.refuse(() => 500);
  for (let seconds = 0; seconds < 180; seconds += 5) {
    a.clock.at += 5_000;
    assert.equal(await a.pauseOf(), undefined, `after ${seconds} s`);
    await sleep(120);
  }
  assert.deepEqual(a.gate.counts(), { held: 0, waiting: 0, without: 1 });
});

test('a daemon that stops frees its slots', async () => {
  const server = await openServer();
  const a = openNode(server, 'a');
  using _entry = await a.enter();
  assert.deepEqual(held(server), ['a']);
  await a.gate[Symbol.asyncDispose]();
  assert.deepEqual(held(server), []);
});

test('a caller that leaves while it waits for the API gets the reason', async () => {
  const server = await openServer();
  const leaving = new AbortController();
  const entering = openNode(server, 'a').gate.enter(repository, leaving.signal);
  leaving.abort(new Error('left'));
  await assert.rejects(entering, /left/);
});

test('the names of Leases are names of objects, of another registry another one', async () => {
  const server = await openServer();
  const hosts = [host, host.toLowerCase(), '[fd00::1]:5000', `${'x'.repeat(60)}.${'y'.repeat(180)}.example`];
  const { gate } = openNode(server, 'a');
  for (const one of hosts) {
    const opened = openNode(server, 'a');
    (await opened.gate.enter({ host: one, path: 'a' }, never))[Symbol.dispose]();
  }
  await gate[Symbol.asyncDispose]();
  const names = server.asked.flatMap(({ method, url }) =>
    method === 'GET' ? [url.slice(leases.length + 1)] : [],
  );
  assert.equal(new Set(names).size, hosts.length);
  for (const name of names)
    assert.match(name, /^oci-artifact-csi-origin-(?=.{1,63}$)(?:[a-z0-9-]*[a-z0-9])?$/);
});
