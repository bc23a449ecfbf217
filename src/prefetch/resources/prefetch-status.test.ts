import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '../../util/json.ts';
import type { NodeRow } from './node-row.ts';
import { toPrefetchStatus } from './prefetch-status.ts';
import { addNodeRow, emptyTally } from './tally.ts';

const row = (state: NodeRow['state'], more: Partial<NodeRow> = {}): NodeRow => ({
  kind: 'ArtifactPrefetch',
  name: 'one',
  uid: 'u',
  generation: 2,
  state,
  artifacts: 1,
  readyArtifacts: state === 'Ready' ? 1 : 0,
  bytes: 0,
  totalBytes: 0,
  ...more,
});

function statusOf(rows: readonly NodeRow[], before: JsonObject = {}, now = 0) {
  const tally = emptyTally();
  rows.forEach((one, index) => addNodeRow(tally, `node-${index}`, one, 2));
  return toPrefetchStatus(tally, 2, before, now) as {
    readonly nodes: object;
    readonly bytes: number;
    readonly pulling: readonly object[];
    readonly failed: readonly object[];
    readonly conditions: readonly (JsonObject & {
      type: string;
      status: string;
      reason: string;
      message: string;
    })[];
  };
}

test('a node that waits says why', () => {
  const waits = row('Waiting', { message: 'no room' });
  const { conditions, failed: failing } = statusOf([row('Waiting'), waits]);
  assert.equal(conditions[1]?.message, '0 nodes pull, and 2 wait, among them node-1: no room');
  assert.deepEqual(failing, []);
});

const [ready, waiting, failed] = [row('Ready'), row('Waiting'), row('Failed', { message: 'no credential' })];
const pulling = row('Pulling', { bytes: 5, totalBytes: 10 });
const cases: readonly (readonly [rows: readonly NodeRow[], reasons: readonly string[]])[] = [
  [[], ['!NoNodes', '!NothingToPull', '!NoNodeFails']],
  [
    [ready, ready],
    ['AllNodesReady', '!NothingToPull', '!NoNodeFails'],
  ],
  [
    [ready, waiting],
    ['!NodesNotReady', 'NodesPull', '!NoNodeFails'],
  ],
  [[pulling], ['!NodesNotReady', 'NodesPull', '!NoNodeFails']],
  [
    [ready, failed],
    ['!NodesNotReady', '!NothingToPull', 'NodesFail'],
  ],
  [
    [pulling, failed],
    ['!NodesNotReady', 'NodesPull', 'NodesFail'],
  ],
  // What a node says about an earlier version of the prefetch does not count.
  [[row('Ready', { generation: 1 })], ['!NodesNotReady', 'NodesPull', '!NoNodeFails']],
];
for (const [rows, reasons] of cases)
  test(`the conditions of nodes that are ${rows.map(({ state }) => state).join(', ') || 'none'}: ${reasons.join(' ')}`, () => {
    const { conditions } = statusOf(rows);
    assert.deepEqual(
      conditions.map(({ type }) => type),
      ['Ready', 'Progressing', 'Failed'],
    );
    assert.deepEqual(
      conditions.map(({ status, reason }) => (status === 'True' ? '' : '!') + reason),
      reasons,
    );
  });

test('all nodes are counted, and few are named', () => {
  const rows = [
    ...Array.from({ length: 1000 }, () => failed),
    ...Array.from({ length: 500 }, () => pulling),
    ready,
  ];
  const status = statusOf(rows);
  assert.deepEqual(status.nodes, { selected: 1501, ready: 1, pulling: 500, waiting: 0, failed: 1000 });
  assert.deepEqual([status.bytes, status.pulling.length, status.failed.length], [2500, 20, 20]);
  assert.deepEqual(status.failed[0], { node: 'node-0', message: 'no credential' });
  assert.match(
    status.conditions[2]?.message ?? '',
    /^1000 of 1501 nodes fail, among them node-0: no credential$/,
  );
});

test('a condition keeps the time of its last transition while it holds', () => {
  const first = statusOf([waiting], {}, 1_000_000);
  const second = statusOf([waiting, waiting], first, 2_000_000);
  const third = statusOf([ready], second, 3_000_000);
  const times = (status: typeof first) => status.conditions.map(one => one['lastTransitionTime']);
  assert.deepEqual(times(second), times(first));
  const [t1, t3] = ['1970-01-01T00:16:40Z', '1970-01-01T00:50:00Z'];
  assert.deepEqual(
    [times(first), times(third)],
    [
      [t1, t1, t1],
      [t3, t3, t1],
    ],
  );
});
