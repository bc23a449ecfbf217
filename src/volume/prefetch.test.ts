import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { viewRecord } from '../../test/support/oci/view-sample.ts';
import { type Digest, toDigest } from '../oci/digest.ts';
import { parseReference } from '../oci/reference.ts';
import type { Labels } from '../ports/kube.ts';
import type { PrefetchEntry, PrefetchOwner, PrefetchStatus } from '../ports/prefetch.ts';
import type { PinRecord } from '../ports/records.ts';
import type { PullRequest } from '../ports/request.ts';
import { ArtifactError } from '../util/error.ts';
import { createPrefetch } from './prefetch.ts';
import { resolving } from './pull/progress.ts';

const digests = ['aa', 'bb'].map(hex => toDigest('sha256', hex.repeat(32)));
const [first, second] = [digests[0] ?? assert.fail(), digests[1] ?? assert.fail()];
const selection = { unpack: 'auto', include: [], exclude: [] } as const;
const hourMs = 3_600_000;

function entryOf(reference: string, more: Partial<PrefetchEntry> = {}): PrefetchEntry {
  return { artifact: { reference, selection }, keep: true, intervalMs: hourMs, nodeSelector: {}, ...more };
}

/** A prefetch over a registry whose tags are `tags`; a tag that is not there fails. */
function openWorld(t: TestContext, labels?: Labels) {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'] });
  const clock = { at: 0 };
  const tags = new Map<string, typeof first>();
  const pulls: string[] = [];
  const requests: PullRequest[] = [];
  /** What a pull brings beside the manifest, by what is included. */
  const brought = new Map<string, readonly Digest[]>();
  const told: string[] = [];
  const pins = new Map<string, PinRecord>();
  const waiting = new Set<string>();
  const world = {
    entries: undefined as readonly PrefetchEntry[] | undefined,
    isPartial: false,
    pressure: undefined as string | undefined,
  };
  const full = (text: string) => {
    const parsed = parseReference(text);
    return parsed.kind === 'full' ? parsed.reference : assert.fail();
  };
  const prefetch = createPrefetch(
    {
      list: { entries: () => world.entries, isPartial: () => world.isPartial },
      labels: labels === undefined ? undefined : async () => labels,
      pull: {
        async pull(request, onProgress, signal) {
          const { reference, selection, pullPolicy, caller } = request;
          assert.equal(caller, 'prefetch');
          requests.push(request);
          pulls.push(`${reference} ${pullPolicy}`);
          const asks = reference.includes('busy');
          if (asks) onProgress({ ...resolving, waits: 'r.example asks to wait' });
          if (asks || waiting.has(reference)) await once(signal, 'abort');
          signal.throwIfAborted();
          const digest = tags.get(reference);
          if (reference.includes('bad')) throw new ArtifactError('denied', 'r.example/bad refuses');
          if (digest === undefined) throw new ArtifactError('not-found', `${reference} does not exist`);
          const descriptor = { digest, mediaType: 'm', size: 1, annotations: {} };
          const resolution = { reference: full(reference), descriptor };
          return {
            reference: full(reference),
            resolution,
            view: { ...viewRecord, path: '', usedAt: 0 },
            origin: { pulled: 0, resumed: 0, cached: 1, pulledLayers: 0, cachedLayers: 1 },
            holds: [digest, ...(brought.get(selection.include.join()) ?? [])],
            [Symbol.dispose]() {},
          };
        },
      },
      naming: {
        async keep(reference, digest, needed, areAll) {
          const before = pins.get(reference);
          if (before !== undefined && before.by === undefined) return;
          const holds = areAll ? needed : [...(before?.holds ?? []), ...needed];
          pins.set(reference, { reference, digest, pinnedAt: 0, holds, by: 'prefetch' });
        },
        async unpin(reference, by) {
          assert.equal(by, 'prefetch');
          pins.delete(reference);
        },
      },
      pins: { list: async () => [...pins.values()] },
      expander: { expand: text => [full(text)] },
      pressure: async () => world.pressure,
      log: { info: text => told.push(text), warn: text => told.push(`! ${text}`) },
    },
    () => 0.5,
    () => clock.at,
  );
  const ending = new AbortController();
  t.after(() => ending.abort());
  return {
    world,
    set(entries: readonly PrefetchEntry[] | undefined) {
      world.entries = entries;
    },
    tags,
    pulls,
    requests,
    told,
    waiting,
    pins,
    brought,
    prefetch,
    run: () => void prefetch.run(ending.signal),
    /** Lets time pass in steps that are shorter than any wait. */
    async pass(ms: number) {
      for (let left = ms; left > 0; left -= 1_000) {
        clock.at += Math.min(left, 1_000);
        t.mock.timers.tick(Math.min(left, 1_000));
        for (let i = 0; i < 5; i++) await turn();
      }
    },
  };
}

const stateOf = ({ state, digest }: PrefetchStatus) => (digest === undefined ? state : `${state} ${digest}`);

test('each entry is pulled once in its interval, and pinned; a moved tag moves its pin', async t => {
  const { set, tags, pulls, pins, told, prefetch, run, pass } = openWorld(t);
  tags.set('r.example/a:1', first);
  set([entryOf('r.example/a:1')]);
  run();
  await pass(14_000);
  assert.deepEqual(prefetch.status().map(stateOf), ['waiting']);
  await pass(2_000);
  assert.deepEqual(prefetch.status().map(stateOf), [`ready ${first}`]);
  await pass(hourMs - 5_000);
  assert.deepEqual(pulls, ['r.example/a:1 Always']);
  tags.set('r.example/a:1', second);
  await pass(10_000);
  assert.deepEqual(pulls, ['r.example/a:1 Always', 'r.example/a:1 Always']);
  assert.deepEqual(pins.get('r.example/a:1')?.digest, second);
  assert.deepEqual(told, [
    `r.example/a:1 is in the cache, as ${first}`,
    `r.example/a:1 is in the cache, as ${second}`,
  ]);
});

test('a digest that is ready is not asked for again', async t => {
  const { set, tags, pulls, prefetch, run, pass } = openWorld(t);
  const reference = `r.example/a@${first}`;
  tags.set(reference, first);
  set([entryOf(reference, { intervalMs: undefined })]);
  run();
  await pass(3 * hourMs);
  assert.deepEqual(pulls, [`${reference} IfNotPresent`]);
  assert.equal(prefetch.status()[0]?.nextAt, undefined);
});

test('a failure is told once and tried again after growing waits, and does not stop the others', async t => {
  const { set, tags, pulls, told, prefetch, run, pass } = openWorld(t);
  tags.set('r.example/b:1', first);
  set([entryOf('r.example/a:1'), entryOf('r.example/b:1')]);
  run();
  await pass(16_000);
  assert.deepEqual(prefetch.status().map(stateOf), ['failed', `ready ${first}`]);
  assert.equal(prefetch.status()[0]?.problem, 'r.example/a:1 does not exist');
  const failures = (): number => pulls.filter(pull => pull.startsWith('r.example/a')).length;
  await pass(60_000);
  assert.equal(failures(), 4, 'after 7.5, 15 and 30 s');
  await pass(600_000 - 60_000);
  assert.equal(failures(), 7, 'and 60, 120 and 240 s');
  tags.set('r.example/a:1', second);
  await pass(600_000);
  assert.deepEqual(prefetch.status().map(stateOf), [`ready ${second}`, `ready ${first}`]);
  assert.equal(prefetch.status()[0]?.problem, undefined);
  assert.equal(told.filter(text => text.startsWith('! ')).length, 1);
});

test('a clock of the node that is set back delays no pull', async t => {
  const { set, tags, pulls, run, pass } = openWorld(t);
  tags.set('r.example/a:1', first);
  set([entryOf('r.example/a:1')]);
  run();
  await pass(20_000);
  assert.equal(pulls.length, 1);
  const date = Date.now.bind(Date);
  t.mock.method(Date, 'now', () => date() - 2 * hourMs);
  await pass(hourMs);
  assert.equal(pulls.length, 2);
});

test('the pin of an entry ends with the entry, and not while the list cannot be read; pins of people stay', async t => {
  const { set, tags, pins, prefetch } = openWorld(t);
  for (const name of ['a', 'b', 'c']) tags.set(`r.example/${name}:1`, first);
  const pin = { digest: first, pinnedAt: 0, holds: [] };
  pins.set('r.example/a:1', { ...pin, reference: 'r.example/a:1', by: 'prefetch' });
  pins.set('r.example/b:1', { ...pin, reference: 'r.example/b:1', by: 'prefetch' });
  pins.set('r.example/c:1', { ...pin, reference: 'r.example/c:1' });
  await prefetch.follow();
  assert.equal(pins.size, 3);
  set([entryOf('r.example/a:1'), entryOf('r.example/b:1', { keep: false })]);
  await prefetch.follow();
  assert.deepEqual([...pins.keys()], ['r.example/a:1', 'r.example/c:1']);
  set([]);
  await prefetch.follow();
  assert.deepEqual([...pins.keys()], ['r.example/c:1']);
});

test('of entries of one tag, what only a removed one needed is no longer kept', async t => {
  const { set, tags, pins, brought, run, pass } = openWorld(t);
  const reference = 'r.example/a:1';
  const [left, right] = ['11', '22'].map(hex => toDigest('sha256', hex.repeat(32)));
  assert.ok(left !== undefined && right !== undefined);
  brought.set('left', [left]).set('right', [right]);
  const entries = ['left', 'right'].map(include =>
    entryOf(reference, { artifact: { reference, selection: { ...selection, include: [include] } } }),
  );
  tags.set(reference, first);
  // As after a restart: the entries have not been pulled yet.
  pins.set(reference, { reference, digest: first, pinnedAt: 0, holds: [first, left, right], by: 'prefetch' });
  const held = (): readonly Digest[] => [...new Set(pins.get(reference)?.holds)].sort();
  set(entries.slice(0, 1));
  run();
  await pass(6_000);
  assert.deepEqual(held(), [left, right, first], 'what it needs is not known');
  await pass(30_000);
  assert.deepEqual(held(), [left, first]);
  set(entries);
  await pass(60_000);
  assert.deepEqual(held(), [left, right, first]);
  set(entries.slice(1));
  await pass(6_000);
  assert.deepEqual(held(), [right, first]);
});

test('a kept entry whose pin somebody has taken over and ended is pinned again', async t => {
  const { set, tags, pins, run, pass } = openWorld(t);
  const reference = `r.example/a@${first}`;
  tags.set(reference, first);
  set([entryOf(reference, { intervalMs: undefined })]);
  run();
  await pass(hourMs);
  pins.delete(reference);
  await pass(10_000);
  assert.equal(pins.get(reference)?.by, 'prefetch');
});

test('an entry whose registry asks to wait gives its turn to the others', async t => {
  const { set, tags, prefetch, run, pass } = openWorld(t);
  tags.set('r.example/b:1', first);
  set([entryOf('r.example/busy:1'), entryOf('r.example/b:1')]);
  run();
  await pass(40_000);
  assert.equal(prefetch.status()[1]?.state, 'ready');
  assert.equal(prefetch.status()[0]?.problem, 'r.example/busy:1: r.example asks to wait');
});

test('a failure that names only the repository gets the reference before it', async t => {
  const { set, prefetch, run, pass } = openWorld(t);
  set([entryOf('r.example/bad:1')]);
  run();
  await pass(40_000);
  assert.equal(prefetch.status()[0]?.problem, 'r.example/bad:1: r.example/bad refuses');
});

test('a pull ends when its entry leaves the list, and the list is followed', async t => {
  const { set, tags, pins, prefetch, run, pass, waiting } = openWorld(t);
  tags.set('r.example/b:1', first);
  waiting.add('r.example/huge:1');
  set([entryOf('r.example/huge:1')]);
  run();
  await pass(3 * hourMs);
  assert.deepEqual(prefetch.status().map(stateOf), ['pulling'], 'it may take long');
  set([entryOf('r.example/b:1')]);
  await pass(30_000);
  assert.deepEqual(prefetch.status().map(stateOf), [`ready ${first}`]);
  assert.deepEqual([...pins.keys()], ['r.example/b:1']);
});

test('a slow pull delays neither the list nor for long the others, and goes on after them', async t => {
  const { set, tags, pulls, pins, prefetch, run, pass, waiting } = openWorld(t);
  tags.set('r.example/a:1', first).set('r.example/b:1', first).set('r.example/huge:1', second);
  set([entryOf('r.example/a:1')]);
  run();
  await pass(40_000);
  waiting.add('r.example/huge:1');
  set([entryOf('r.example/a:1'), entryOf('r.example/huge:1')]);
  await pass(40_000);
  set([entryOf('r.example/huge:1'), entryOf('r.example/b:1')]);
  await pass(6_000);
  assert.deepEqual(prefetch.status().map(stateOf), ['pulling', 'waiting']);
  assert.deepEqual([...pins.keys()], [], 'an entry that left the list keeps no pin');
  await pass(70_000);
  assert.deepEqual(prefetch.status().map(stateOf), ['pulling', `ready ${first}`]);
  assert.equal(pulls.filter(pull => pull.includes('huge')).length, 2);
  assert.equal(prefetch.status()[0]?.problem, undefined, 'it has not failed');
});

test('the pin of an entry ends when the labels of the node no longer match', async t => {
  const labels = { gpu: 'a100' };
  const { set, tags, pins, prefetch, run, pass } = openWorld(t, labels);
  tags.set('r.example/a:1', first);
  set([entryOf('r.example/a:1', { nodeSelector: { gpu: 'a100' } })]);
  run();
  await pass(20_000);
  assert.equal(pins.size, 1);
  labels.gpu = 'none';
  await pass(1.2 * hourMs);
  assert.deepEqual([prefetch.status().map(stateOf), pins.size], [['elsewhere'], 0]);
});

test('an entry for other nodes is not pulled', async t => {
  const { set, tags, pulls, prefetch, run, pass } = openWorld(t, { zone: 'x', gpu: 'a100' });
  tags.set('r.example/a:1', first).set('r.example/b:1', first);
  set([
    entryOf('r.example/a:1', { nodeSelector: { zone: 'x', gpu: 'h100' } }),
    entryOf('r.example/b:1', { nodeSelector: { gpu: 'a100' } }),
  ]);
  run();
  await pass(20_000);
  assert.deepEqual(prefetch.status().map(stateOf), ['elsewhere', `ready ${first}`]);
  assert.deepEqual(pulls, ['r.example/b:1 Always']);
});

/** An entry of a custom resource. */
function ownedEntry(reference: string, more: Partial<PrefetchOwner> = {}): PrefetchEntry {
  const resource = {
    uid: reference,
    generation: 1,
    priority: 0,
    secrets: async () => ({}),
    turn: () => ({ [Symbol.dispose]() {} }),
    ...more,
  };
  return entryOf(reference, { resource });
}

test('entries of a higher priority come first, and one that is held back keeps no other from its turn', async t => {
  const { set, tags, pulls, prefetch, run, pass } = openWorld(t);
  for (const name of ['low', 'high', 'held']) tags.set(`r.example/${name}:1`, first);
  let hasTurn = false;
  let turns = 0;
  const turn = () => {
    if (!hasTurn) return undefined;
    turns++;
    return { [Symbol.dispose]: () => void turns-- };
  };
  set([
    ownedEntry('r.example/low:1'),
    ownedEntry('r.example/high:1', { priority: 5 }),
    ownedEntry('r.example/held:1', { priority: 9, turn }),
  ]);
  run();
  await pass(20_000);
  assert.deepEqual(pulls, ['r.example/high:1 Always', 'r.example/low:1 Always']);
  assert.equal(prefetch.status()[2]?.state, 'waiting');
  hasTurn = true;
  await pass(7_000);
  assert.equal(prefetch.status()[2]?.state, 'ready');
  assert.equal(turns, 0, 'the turn ends with the pull');
});

test('the priority of a namespace orders its own entries only', async t => {
  const { set, tags, pulls, run, pass } = openWorld(t);
  for (const name of ['a', 'b', 'c', 'd']) tags.set(`r.example/${name}:1`, first);
  set([
    ownedEntry('r.example/a:1', { namespace: 'evil', priority: 1 }),
    ownedEntry('r.example/b:1', { namespace: 'shop' }),
    ownedEntry('r.example/c:1', { namespace: 'evil', priority: 1000 }),
    ownedEntry('r.example/d:1', { priority: 5 }),
  ]);
  run();
  await pass(20_000);
  assert.deepEqual(
    pulls.map(pull => pull.at('r.example/'.length)),
    ['d', 'c', 'a', 'b'],
  );
});

test('a namespace with many slow pulls keeps no other owner from its turn for longer than one of them', async t => {
  const { set, tags, prefetch, run, pass, waiting } = openWorld(t);
  const slow = Array.from({ length: 50 }, (_, nth) => `r.example/slow-${nth}:1`);
  for (const reference of slow) waiting.add(reference);
  const names = ['shop1', 'shop2', 'list', 'cluster'];
  for (const name of names) tags.set(`r.example/${name}:1`, first);
  set([
    ...slow.map(reference => ownedEntry(reference, { namespace: 'evil', priority: 1000 })),
    ownedEntry('r.example/shop1:1', { namespace: 'shop' }),
    ownedEntry('r.example/shop2:1', { namespace: 'shop' }),
    entryOf('r.example/list:1'),
    ownedEntry('r.example/cluster:1'),
  ]);
  run();
  await pass(15_000 + 60_000 + 10_000);
  assert.deepEqual(
    prefetch.status().slice(slow.length).map(stateOf),
    names.map(() => `ready ${first}`),
  );
});

test('the slow pull of a namespace gives way to the list of the node, whatever its priority', async t => {
  const { set, tags, prefetch, run, pass, waiting } = openWorld(t);
  tags.set('r.example/b:1', first);
  waiting.add('r.example/huge:1');
  set([ownedEntry('r.example/huge:1', { namespace: 'evil', priority: 1000 }), entryOf('r.example/b:1')]);
  run();
  await pass(15_000 + 60_000 + 10_000);
  assert.deepEqual(prefetch.status().map(stateOf), ['pulling', `ready ${first}`]);
});

test('a pull that never ends keeps others from their turns for an hour at most', async t => {
  const { set, tags, pulls, run, pass, waiting } = openWorld(t);
  tags.set('r.example/b:1', first);
  waiting.add('r.example/huge:1');
  const often = 60_000;
  set([
    ownedEntry('r.example/huge:1', { namespace: 'evil' }),
    entryOf('r.example/b:1', { intervalMs: often }),
  ]);
  run();
  await pass(3 * hourMs);
  const before = pulls.length;
  await pass(hourMs + 2 * often);
  assert.ok(pulls.slice(before).some(pull => pull.includes('/b:1')));
});

test('an entry of a resource is pulled with its secrets, for its namespace', async t => {
  const { set, tags, requests, told, run, pass } = openWorld(t);
  tags.set('r.example/a:1', first);
  set([
    ownedEntry('r.example/a:1', { namespace: 'shop', secrets: async () => ({ password: 'p' }) }),
    ownedEntry('r.example/b:1', { secrets: () => Promise.reject(new ArtifactError('denied', 'no right')) }),
  ]);
  run();
  await pass(20_000);
  assert.deepEqual(
    requests.map(({ namespace, secrets }) => [namespace, secrets]),
    [['shop', { password: 'p' }]],
  );
  assert.ok(told.includes('! a prefetch failed: r.example/b:1: no right'));
});

test('what is not ready at its deadline fails, until a later one is set; what is ready stays', async t => {
  const { set, tags, pulls, prefetch, run, pass } = openWorld(t);
  tags.set('r.example/b:1', first);
  const deadlineAt = 60_000;
  set([ownedEntry('r.example/a:1', { deadlineAt }), ownedEntry('r.example/b:1', { deadlineAt })]);
  run();
  await pass(2 * hourMs);
  assert.deepEqual(prefetch.status().map(stateOf), ['failed', `ready ${first}`]);
  assert.equal(
    prefetch.status()[0]?.problem,
    'r.example/a:1 was not ready at its deadline, 1970-01-01T00:01:00Z; set a later one',
  );
  const attempts = pulls.filter(pull => pull.includes('/a:1')).length;
  await pass(2 * hourMs);
  assert.equal(pulls.filter(pull => pull.includes('/a:1')).length, attempts);
  tags.set('r.example/a:1', second);
  const later = { deadlineAt: 10 * hourMs, generation: 2 };
  set([ownedEntry('r.example/a:1', later), ownedEntry('r.example/b:1', later)]);
  await pass(20_000);
  assert.deepEqual(prefetch.status().map(stateOf), [`ready ${second}`, `ready ${first}`]);
});

test('what came too late by a clock that was wrong is pulled when the clock is right', async t => {
  const { set, tags, pulls, prefetch, run, pass } = openWorld(t);
  tags.set('r.example/a:1', first);
  const date = Date.now.bind(Date);
  let wrongMs = 10 * hourMs;
  t.mock.method(Date, 'now', () => date() + wrongMs);
  set([ownedEntry('r.example/a:1', { deadlineAt: 5 * hourMs })]);
  run();
  await pass(60_000);
  assert.deepEqual([prefetch.status().map(stateOf), pulls], [['failed'], []]);
  wrongMs = 0;
  await pass(10_000);
  assert.deepEqual(prefetch.status().map(stateOf), [`ready ${first}`]);
  assert.equal(pulls.length, 1);
});

test('a resource waits for room, and pods have what it does not take', async t => {
  const { set, tags, pulls, prefetch, run, pass, world } = openWorld(t);
  for (const name of ['a', 'b']) tags.set(`r.example/${name}:1`, first);
  world.pressure = 'the disk is above its mark';
  set([ownedEntry('r.example/a:1'), entryOf('r.example/b:1')]);
  run();
  await pass(20_000);
  assert.deepEqual(pulls, ['r.example/b:1 Always'], 'the list of the administrator is pulled');
  const [{ state, problem } = assert.fail()] = prefetch.status();
  assert.deepEqual(
    [state, problem],
    ['waiting', 'r.example/a:1 waits for room in the cache: the disk is above its mark'],
  );
  world.pressure = undefined;
  await pass(60_000);
  assert.deepEqual(prefetch.status()[0], { ...prefetch.status()[0], state: 'ready' });
  assert.equal(prefetch.status()[0]?.problem, undefined);
});

test('what waits for room or for its turn takes no turn of another node, and fails at its deadline', async t => {
  const { set, pulls, prefetch, run, pass, world } = openWorld(t);
  let turns = 0;
  const turn = (): undefined => void turns++;
  world.pressure = 'the disk is above its mark';
  set([ownedEntry('r.example/a:1', { turn, deadlineAt: 180_000 })]);
  run();
  await pass(60_000);
  assert.deepEqual([prefetch.status()[0]?.state, turns], ['waiting', 0]);
  world.pressure = undefined;
  await pass(60_000);
  assert.deepEqual([prefetch.status()[0]?.state, turns > 0], ['waiting', true]);
  assert.match(prefetch.status()[0]?.problem ?? '', /fewer nodes pull it than maxParallelNodes says/);
  await pass(90_000);
  assert.deepEqual([prefetch.status()[0]?.state, pulls], ['failed', []]);
});

test('while not all entries are known, those that are known are pulled, and no pin ends', async t => {
  const { set, tags, pins, prefetch, run, pass, world } = openWorld(t);
  tags.set('r.example/a:1', first);
  const reference = 'r.example/of-a-resource:1';
  pins.set(reference, { reference, digest: first, pinnedAt: 0, holds: [], by: 'prefetch' });
  world.isPartial = true;
  set([entryOf('r.example/a:1')]);
  run();
  await pass(20_000);
  assert.deepEqual(prefetch.status().map(stateOf), [`ready ${first}`]);
  assert.deepEqual([...pins.keys()].toSorted(), ['r.example/a:1', reference]);
  world.isPartial = false;
  await pass(6_000);
  assert.deepEqual([...pins.keys()], ['r.example/a:1']);
});

test('what a pin of before a restart names is looked for in the cache first: it needs no room, no turn and no time', async t => {
  const { set, tags, pulls, prefetch, run, pass, world, pins } = openWorld(t);
  const turn = (): undefined => {};
  for (const name of ['a', 'b']) {
    const reference = `r.example/${name}:1`;
    pins.set(reference, { reference, digest: first, pinnedAt: 0, holds: [first], by: 'prefetch' });
  }
  tags.set('r.example/a:1', first);
  world.pressure = 'the disk is above its mark';
  const intervalMs = undefined;
  set([
    { ...ownedEntry('r.example/a:1', { turn, deadlineAt: 1 }), intervalMs },
    { ...ownedEntry('r.example/b:1', { turn }), intervalMs },
  ]);
  await prefetch.follow();
  run();
  await pass(60_000);
  assert.deepEqual(prefetch.status().map(stateOf), [`ready ${first}`, 'waiting']);
  assert.deepEqual(pulls, ['r.example/a:1 Never', 'r.example/b:1 Never']);
});
