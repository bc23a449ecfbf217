import assert from 'node:assert/strict';
import { test } from 'node:test';
import { volume } from '../../../test/support/node/csi-edge.ts';
import type { VolumeStatus } from '../../ports/usecases.ts';
import { toVolumeCondition, toVolumeHealth } from './volume-health.ts';

type Row = readonly [
  status: Partial<VolumeStatus>,
  condition: RegExp | undefined,
  reasons: readonly string[],
];

const loading = { bytes: 0, totalBytes: 1, bytesPerSecond: 0, waitingReads: 0 };

const rows: readonly Row[] = [
  [{}, undefined, []],
  [
    { damaged: 'blob b is cut short' },
    /^it shows damaged content .*: blob b is cut short; delete the pod/,
    ['DATA_LOSS DamagedContent'],
  ],
  [
    { mounted: false },
    /^its artifact is not mounted at \/var\/lib\/kubelet\/pods\/.*; delete the pod/,
    ['INACCESSIBLE NotMounted'],
  ],
  [
    { loading: { ...loading, problem: 'r does not answer' } },
    /^what is not loaded yet cannot be read: r does not answer; it is tried again$/,
    ['DEGRADED NotLoaded'],
  ],
  [
    { loading: { ...loading, problem: 'the list lies', lied: true } },
    /^what was read of it may be wrong: the list lies$/,
    ['DATA_LOSS WrongChunkList'],
  ],
  [{ loading: { ...loading, stopped: true } }, undefined, []],
  [
    { refused: 'not signed' },
    /^it stays as it is, and a new pod would be refused it: not signed$/,
    ['DEGRADED Refused'],
  ],
  [
    { damaged: 'blob b is cut short', mounted: false, refused: 'not signed' },
    /blob b .*; its artifact is not mounted .*; it stays .*not signed$/,
    ['DATA_LOSS DamagedContent', 'INACCESSIBLE NotMounted', 'DEGRADED Refused'],
  ],
];

for (const [status, message, reasons] of rows) {
  test(`the condition and the health of a volume with ${JSON.stringify(status)}`, () => {
    const condition = toVolumeCondition({ ...volume, ...status });
    assert.equal(condition.abnormal, message !== undefined);
    assert.match(condition.message ?? '', message ?? /^nothing is known to be wrong$/);

    const health = toVolumeHealth({ ...volume, ...status });
    assert.equal(health.volume_id, volume.volumeId);
    const entries = health.health_statuses ?? [];
    assert.deepEqual(
      entries.map(entry => `${entry.status} ${entry.reason}`),
      reasons,
    );
    if (message !== undefined) assert.match(entries.map(entry => entry.message).join('; '), message);
  });
}

test('a message is never longer than the API server takes', () => {
  const { health_statuses } = toVolumeHealth({ ...volume, refused: 'é'.repeat(1000) });
  const message = health_statuses?.[0]?.message ?? '';
  assert.ok(Buffer.byteLength(message) <= 1024 && Buffer.byteLength(message) > 1020);
  assert.match(message, /^it stays.*é…$/);
});
