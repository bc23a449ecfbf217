import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toNodeArtifacts } from './node-artifacts.ts';
import { createNodeReport } from './node-report.ts';
import type { NodeRow } from './node-row.ts';

const never = new AbortController().signal;
const row = (state: NodeRow['state'], bytes = 0): NodeRow => ({
  kind: 'ClusterArtifactPrefetch',
  name: 'one',
  uid: 'u',
  generation: 1,
  state,
  artifacts: 1,
  readyArtifacts: state === 'Ready' ? 1 : 0,
  bytes,
  totalBytes: bytes === 0 ? 0 : 100,
});

/** A report over an API that had these rows before the daemon started. */
function openWorld(before?: readonly NodeRow[]) {
  const clock = { at: 0 };
  const writes: unknown[] = [];
  const objects = {
    get: async () => before && toNodeArtifacts('node', 'uid', before),
    async apply(_: unknown, object: object) {
      const { status } = object as { status: { prefetches: readonly NodeRow[] } };
      writes.push(status.prefetches.map(({ state, bytes }) => `${state} ${bytes}`).join());
    },
  };
  const report = createNodeReport(
    objects,
    'node',
    async () => {},
    () => clock.at,
  );
  const write = async (...rows: readonly NodeRow[]) =>
    (await report.write(rows, 'uid', never)).map(({ state }) => state).join();
  return { clock, writes, write, report };
}

test('a node writes when something has changed, and at most four times a minute', async () => {
  const { clock, writes, write, report } = openWorld();
  for (let second = 0; second < 120; second++) {
    await write(row('Pulling', second + 1));
    clock.at += 1_000;
  }
  assert.deepEqual(writes, ['Pulling 1', 'Pulling 31', 'Pulling 61', 'Pulling 91']);
  for (let second = 0; second < 120; second++) {
    await write(row(second % 2 === 0 ? 'Ready' : 'Failed'));
    clock.at += 1_000;
  }
  assert.ok(writes.length - 4 <= 8, writes.join('\n'));
  for (let second = 0; second < 600; second++) {
    await write(row('Ready'));
    clock.at += 1_000;
  }
  assert.equal(writes.at(-1), 'Ready 0');
  assert.ok(report.isWritten());
  assert.ok(writes.length <= 13, 'nothing has changed since');
});

test('a node without prefetches writes nothing, and empties what it wrote before', async () => {
  const never = openWorld();
  await never.write();
  assert.deepEqual(never.writes, []);
  const { writes, write, report } = openWorld([row('Ready')]);
  await write();
  assert.deepEqual(writes, ['']);
  assert.ok(report.isWritten());
});

test('what was ready before a restart counts as ready until it was looked for, or fails', async () => {
  const { clock, writes, write } = openWorld([row('Ready')]);
  assert.equal(await write(row('Waiting')), 'Ready');
  assert.equal(await write(row('Pulling')), 'Ready');
  assert.deepEqual(writes, []);
  assert.equal(
    await write({ ...row('Waiting'), generation: 2 }),
    'Waiting',
    'it asks for something else now',
  );
  assert.equal(await write(row('Failed')), 'Failed');
  clock.at += 4 * 60_000;
  assert.equal(await write(row('Waiting')), 'Waiting');
});
