import assert from 'node:assert/strict';
import { test } from 'node:test';
import { volume } from '../../../test/support/node/csi-edge.ts';
import type { VolumeStatus } from '../../ports/usecases.ts';
import { toVolumeCondition } from './volume-condition.ts';

const conditions: readonly (readonly [Partial<VolumeStatus>, RegExp | undefined])[] = [
  [{}, undefined],
  [{ damaged: 'blob b is cut short' }, /^it shows damaged content .*: blob b is cut short; delete the pod/],
  [{ mounted: false }, /^its artifact is not mounted at \/var\/lib\/kubelet\/pods\/.*; delete the pod/],
  [{ refused: 'not signed' }, /^it stays as it is, and a new pod would be refused it: not signed$/],
  [
    { damaged: 'blob b is cut short', mounted: false, refused: 'not signed' },
    /blob b .*; its artifact is not mounted .*; it stays .*not signed$/,
  ],
];

for (const [status, message] of conditions) {
  test(`the condition of a volume with ${JSON.stringify(status)}`, () => {
    const condition = toVolumeCondition({ ...volume, ...status });
    assert.equal(condition.abnormal, message !== undefined);
    assert.match(condition.message ?? '', message ?? /^nothing is known to be wrong$/);
  });
}
