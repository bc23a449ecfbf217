import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { captureLog } from '../../../test/support/node/csi-edge.ts';
import { logCall } from './call.ts';

test('a text that is cut ends with a sign of it', () => {
  for (const [length, shown] of [
    [1024, 'x'.repeat(1024)],
    [1025, `${'x'.repeat(1023)}…`],
  ] as const) {
    const captured = captureLog();
    logCall(captured.log, {
      method: '/csi.v1.Node/NodePublishVolume',
      note: { reference: 'y'.repeat(length) },
      milliseconds: 1,
      code: status.UNAVAILABLE,
      error: new Error('x'.repeat(length)),
      secrets: [],
    });
    const [line] = captured.lines();
    assert.equal(line?.['error'], shown);
    assert.equal(line?.['reference'], shown.replaceAll('x', 'y'));
  }
});
