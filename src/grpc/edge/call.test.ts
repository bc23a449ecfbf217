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

test('a pod with its own name in a Secret does not hide itself from the log', () => {
  const captured = captureLog();
  const note = { volumeId: 'csi-1', target: '/pods/web-0/mount', namespace: 'evil-ns', pod: 'web-0' };
  for (const secrets of [['csi-1', 'web-0', 'evil-ns'], undefined]) {
    logCall(captured.log, {
      method: '/csi.v1.Node/NodePublishVolume',
      note: { ...note, reference: 'evil-ns/m:1' },
      milliseconds: 1,
      code: status.NOT_FOUND,
      error: new Error('evil-ns is refused'),
      secrets,
    });
  }
  for (const line of captured.lines()) {
    const { volumeId, target, namespace, pod } = line;
    assert.deepEqual({ volumeId, target, namespace, pod }, note);
    assert.doesNotMatch(`${String(line['reference'])} ${String(line['error'])}`, /evil-ns/);
  }
});
