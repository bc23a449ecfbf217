import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import type { PrefetchRow, PrefetchState } from '../../ports/prefetch.ts';
import { parseAttributes } from '../../volume/attributes.ts';
import { parseNodeRows, toNodeArtifacts } from './node-artifacts.ts';
import { toNodeRow } from './node-row.ts';
import { diffLabels, toReadyLabels } from './ready-labels.ts';
import { type PrefetchResource, parseResource } from './resource.ts';

const digest = toDigest('sha256', 'aa'.repeat(32));

function resourceOf(more: object = {}, count = 2, metadata: object = {}): PrefetchResource {
  const artifacts = Array.from({ length: count }, (_, index) => ({ reference: `r.example/${index}:1` }));
  const object = {
    metadata: { name: 'one', uid: 'u', generation: 4, ...metadata },
    spec: { artifacts, ...more },
  };
  const kind = 'namespace' in metadata ? 'ArtifactPrefetch' : 'ClusterArtifactPrefetch';
  return parseResource(kind, object, parseAttributes);
}

const row = (state: PrefetchState, has: 'ready-before' | 'new' = 'new', problem?: string): PrefetchRow => ({
  entry: {
    artifact: { reference: 'r', selection: { unpack: 'auto', include: [], exclude: [] } },
    keep: true,
    intervalMs: 1,
    nodeSelector: {},
  },
  status: { reference: 'r', state, ...(has === 'new' ? {} : { digest }), ...(problem && { problem }) },
  bytes: 3,
  totalBytes: 9,
});
const ready = row('ready', 'ready-before');

const cases: readonly (readonly [
  what: string,
  rows: readonly PrefetchRow[],
  state: string,
  bytes: number,
])[] = [
  ['nothing is known yet', [], 'Waiting', 0],
  ['one waits', [ready, row('waiting')], 'Waiting', 0],
  ['one waits for room', [ready, row('waiting', 'new', 'no room')], 'Waiting', 0],
  ['one is pulled', [ready, row('pulling')], 'Pulling', 3],
  ['all are ready', [ready, ready], 'Ready', 0],
  ['a tag is resolved again', [ready, row('pulling', 'ready-before')], 'Ready', 0],
  ['a tag could not be resolved again', [ready, row('failed', 'ready-before', 'away')], 'Ready', 0],
  ['one fails', [row('pulling'), row('failed', 'new', 'no credential')], 'Failed', 3],
];
for (const [what, rows, state, bytes] of cases)
  test(`a prefetch is ${state} on a node when ${what}`, () => {
    const found = toNodeRow(resourceOf(), rows);
    assert.deepEqual([found.state, found.bytes, found.artifacts, found.generation], [state, bytes, 2, 4]);
  });

test('the reason of a failure comes before that of what waits', () => {
  const rows = [row('waiting', 'new', 'no room'), row('failed', 'new', 'no credential')];
  assert.equal(toNodeRow(resourceOf(), rows).message, 'no credential');
});

test('a prefetch that cannot be read fails with the reason, of bounded length', () => {
  const broken = toNodeRow(resourceOf({ interval: '1s' }), []);
  assert.deepEqual([broken.state, broken.artifacts], ['Failed', 0]);
  assert.match(broken.message ?? '', /interval: invalid value "1s"/);
  assert.equal(toNodeRow(resourceOf(), [row('failed', 'new', 'x'.repeat(9_000))]).message?.length, 512);
});

test('what a node writes is read again, and what is no row is left out', () => {
  const rows = [toNodeRow(resourceOf(), [ready, ready])];
  const written = toNodeArtifacts('node', 'uid', [...rows]) as { status: { prefetches: unknown[] } };
  written.status.prefetches.push({ uid: 5 }, null);
  assert.deepEqual(parseNodeRows(written), rows);
  for (const other of [undefined, {}, { status: 5 }, { status: { prefetches: {} } }])
    assert.deepEqual(parseNodeRows(other), []);
});

test('what is ready and kept gets a label, at most 30, by priority and name', () => {
  const ofName = (name: string, more: object = {}, namespace?: string) => {
    const resource = resourceOf(more, 1, { name, uid: name, ...(namespace && { namespace }) });
    return { resource, row: toNodeRow(resource, [ready]) };
  };
  assert.deepEqual(
    toReadyLabels([
      ofName('model'),
      ofName('model', {}, 'shop'),
      ofName('passing', { keep: false }),
      { ...ofName('open'), row: toNodeRow(resourceOf(), []) },
    ]),
    { 'oci-artifact.csi.internal/model': 'ready', 'shop.oci-artifact.csi.internal/model': 'ready' },
  );
  const many = Array.from({ length: 40 }, (_, index) =>
    ofName(`m${index + 10}`, { priority: index === 39 ? 5 : 0 }),
  );
  const keys = Object.keys(toReadyLabels(many));
  assert.deepEqual(
    [keys.length, keys[0], keys.at(-1)?.endsWith('/m38')],
    [30, 'oci-artifact.csi.internal/m49', true],
  );
});

test('labels of the cluster come first, and namespaces get theirs in rounds, whatever their priorities', () => {
  const ofName = (name: string, priority: number, namespace?: string) => {
    const resource = resourceOf({ priority }, 1, { name, uid: name, ...(namespace && { namespace }) });
    return { resource, row: toNodeRow(resource, [ready]) };
  };
  const many = Array.from({ length: 31 }, (_, index) => ofName(`m${index + 10}`, 1000 - index, 'evil'));
  const keys = Object.keys(toReadyLabels([...many, ofName('base', 0), ofName('one', 0, 'shop')]));
  assert.equal(keys.length, 30);
  assert.deepEqual(keys.slice(0, 4), [
    'oci-artifact.csi.internal/base',
    'evil.oci-artifact.csi.internal/m10',
    'shop.oci-artifact.csi.internal/one',
    'evil.oci-artifact.csi.internal/m11',
  ]);
});

test('labels of others stay, and stale ones of prefetches go', () => {
  const [a, b] = ['oci-artifact.csi.internal/a', 'shop.oci-artifact.csi.internal/b'];
  const others = {
    'kubernetes.io/os': 'linux',
    'notoci-artifact.csi.internal/a': 'x',
    'x.example/oci-artifact.csi.internal': 'y',
  };
  assert.deepEqual(diffLabels({ ...others, [b]: 'ready' }, { [a]: 'ready' }), { [b]: null, [a]: 'ready' });
  assert.equal(diffLabels({ ...others, [a]: 'ready' }, { [a]: 'ready' }), undefined);
  assert.deepEqual(diffLabels({ [a]: 'stale' }, { [a]: 'ready' }), { [a]: 'ready' });
});
