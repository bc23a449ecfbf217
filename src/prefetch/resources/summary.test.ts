import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubePath } from '../../ports/kube-objects.ts';
import { ArtifactError } from '../../util/error.ts';
import type { JsonObject } from '../../util/json.ts';
import { parseAttributes } from '../../volume/attributes.ts';
import { toNodeArtifacts } from './node-artifacts.ts';
import { toNodeRow } from './node-row.ts';
import { type PrefetchResource, parseResource } from './resource.ts';
import { countSlots, selectsNode } from './selection.ts';
import { createSummary } from './summary.ts';

const never = new AbortController().signal;

function resourceOf(
  name: string,
  status: JsonObject = {},
  more: object = {},
  namespace?: string,
): PrefetchResource {
  const kind = namespace === undefined ? 'ClusterArtifactPrefetch' : 'ArtifactPrefetch';
  const metadata = { name, uid: `uid-${name}`, generation: 1, ...(namespace && { namespace }) };
  const spec = { artifacts: [{ reference: 'r.example/a:1' }], ...more };
  return parseResource(kind, { metadata, spec, status }, parseAttributes);
}

/** Nodes that report that these prefetches wait, and the daemon that may be elected. */
function openWorld(nodes: readonly (readonly PrefetchResource[])[]) {
  const world = { isElected: true, refused: '' };
  const clock = { at: 0, requestMs: 0 };
  const statuses = new Map<string, JsonObject>();
  const asked: string[] = [];
  const takes: number[] = [];
  const reports = nodes.map((resources, index) =>
    toNodeArtifacts(
      `node-${index}`,
      'uid',
      resources.map(resource => toNodeRow(resource, [])),
    ),
  );
  const summary = createSummary({
    turn: async () => {},
    electedTurn: async () => void (clock.at += clock.requestMs),
    now: () => clock.at,
    lease: {
      async take() {
        takes.push(clock.at);
        return world.isElected;
      },
      isHeld: () => takes.length > 0,
    },
    objects: {
      async page(_, { next }) {
        const at = Number(next ?? 0);
        asked.push(`list from ${at}`);
        return {
          version: '1',
          items: reports.slice(at, at + 2).map(object => ({ object, bytes: 1 })),
          ...(at + 2 < reports.length && { next: `${at + 2}` }),
        };
      },
      async patch(path: KubePath, change: object) {
        const name = path.at(-2) ?? '';
        asked.push(`patch ${path.slice(3).join('/')}`);
        if (name === world.refused) throw new ArtifactError('invalid', 'it is refused');
        statuses.set(name, (change as { status: JsonObject }).status);
      },
    },
  });
  return {
    world,
    clock,
    statuses,
    asked,
    takes,
    sum: (...resources: readonly PrefetchResource[]) => summary(resources, never),
  };
}

test('the elected daemon sums up what all nodes report, and writes only what has changed', async () => {
  const [a, b] = [resourceOf('a'), resourceOf('b', {}, {}, 'shop')];
  const { statuses, asked, sum } = openWorld([[a], [a, b], [a], [], [resourceOf('gone')]]);
  await sum(a, b);
  assert.deepEqual(asked, [
    'list from 0',
    'list from 2',
    'list from 4',
    'patch clusterartifactprefetches/a/status',
    'patch namespaces/shop/artifactprefetches/b/status',
  ]);
  const counts = (name: string): unknown => statuses.get(name)?.['nodes'];
  assert.deepEqual(counts('a'), { selected: 3, ready: 0, pulling: 0, waiting: 3, failed: 0 });
  assert.deepEqual(counts('b'), { selected: 1, ready: 0, pulling: 0, waiting: 1, failed: 0 });
  await sum(resourceOf('a', statuses.get('a')), resourceOf('b', statuses.get('b'), {}, 'shop'));
  assert.equal(asked.filter(text => text.startsWith('patch')).length, 2);
});

test('a status that was written is not written again while the list does not show it', async t => {
  t.mock.timers.enable({ apis: ['Date'] });
  const a = resourceOf('a');
  const { statuses, asked, sum } = openWorld([[a]]);
  const patches = (): number => asked.filter(text => text.startsWith('patch')).length;
  await sum(a);
  t.mock.timers.tick(60_000);
  await sum(a);
  assert.equal(patches(), 1);
  await sum({ ...a, status: { ...statuses.get('a'), bytes: 7 } });
  assert.equal(patches(), 2, 'another one has changed it');
});

test('a node that reports a prefetch twice counts once', async () => {
  const a = resourceOf('a');
  const { statuses, sum } = openWorld([[a, a, a], [a]]);
  await sum(a);
  assert.deepEqual(statuses.get('a')?.['nodes'], {
    selected: 2,
    ready: 0,
    pulling: 0,
    waiting: 2,
    failed: 0,
  });
});

test('other daemons, and one without prefetches, ask for nothing', async () => {
  const { world, asked, sum } = openWorld([[resourceOf('a')]]);
  await sum();
  world.isElected = false;
  await sum(resourceOf('a'));
  assert.deepEqual(asked, []);
});

test('the elected daemon renews its lease meanwhile, and stops when another one has it', async () => {
  const { world, clock, asked, takes, sum } = openWorld(Array.from({ length: 100 }, () => []));
  clock.requestMs = 1_000;
  const resources = () => Array.from({ length: 200 }, (_, index) => resourceOf(`r${index}`));
  await sum(...resources());
  assert.equal(asked.length, 50 + 200);
  assert.ok(takes.length >= 250 / 31, 'it was renewed');
  for (const [index, at] of takes.entries()) assert.ok(at - (takes[index - 1] ?? 0) <= 32_000);
  const before = asked.length;
  const lost = sum(...resources());
  await Promise.resolve();
  world.isElected = false;
  await lost;
  assert.ok(asked.length - before < 60, `${asked.length - before} requests`);
});

test('a status that the API refuses does not keep others from theirs', async () => {
  const { world, statuses, sum } = openWorld([]);
  world.refused = 'a';
  await assert.rejects(sum(resourceOf('a'), resourceOf('b')), { message: 'it is refused' });
  assert.deepEqual([...statuses.keys()], ['b']);
});

const counted = { nodes: { selected: 25 } };
const slots: readonly (readonly [maxParallelNodes: unknown, status: JsonObject, expected: number])[] = [
  [undefined, counted, Infinity],
  [3, {}, 3],
  ['10%', counted, 2],
  ['1%', counted, 1],
  ['50%', {}, 1],
  ['100%', counted, 25],
];
for (const [maxParallelNodes, status, expected] of slots)
  test(`of ${JSON.stringify(status)}, ${String(maxParallelNodes)} is ${expected} nodes at once`, () => {
    const more = maxParallelNodes === undefined ? {} : { maxParallelNodes };
    assert.equal(countSlots(resourceOf('a', status, more)), expected);
  });

test('a prefetch selects nodes by labels; one that cannot be read is failed by every node', () => {
  const gpu = resourceOf('a', {}, { nodeSelector: { matchLabels: { gpu: 'yes' } } });
  assert.deepEqual([selectsNode(gpu, { gpu: 'yes' }), selectsNode(gpu, {})], [true, false]);
  assert.equal(selectsNode(resourceOf('a'), {}), true);
  assert.equal(selectsNode(resourceOf('a', {}, { interval: '1s' }), {}), true);
});
