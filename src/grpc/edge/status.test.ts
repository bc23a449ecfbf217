import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { ArtifactError, type ErrorCode } from '../../util/error.ts';
import { errorCodeOf, toStatus } from './status.ts';

const table: Readonly<Record<ErrorCode, keyof typeof status>> = {
  invalid: 'INVALID_ARGUMENT',
  exists: 'ALREADY_EXISTS',
  'not-found': 'NOT_FOUND',
  unauthenticated: 'UNAUTHENTICATED',
  denied: 'PERMISSION_DENIED',
  unmountable: 'FAILED_PRECONDITION',
  corrupt: 'UNAVAILABLE',
  unavailable: 'UNAVAILABLE',
  busy: 'ABORTED',
  cancelled: 'CANCELLED',
  exhausted: 'RESOURCE_EXHAUSTED',
  unimplemented: 'UNIMPLEMENTED',
  internal: 'INTERNAL',
};

test('every error code has the status that kubelet must see', () => {
  for (const [code, name] of Object.entries(table) as [ErrorCode, keyof typeof status][]) {
    const error = new ArtifactError(code, `what failed: ${code}`, new Error('a cause'));
    const { metadata, ...sent } = toStatus(error);
    assert.deepEqual(sent, { code: status[name], details: `what failed: ${code}` });
    assert.equal(errorCodeOf(metadata), code);
  }
});

test('what kubelet may retry without an unpublish first is never a final code', () => {
  const uncertain = new Set([
    status.CANCELLED,
    status.UNAVAILABLE,
    status.RESOURCE_EXHAUSTED,
    status.ABORTED,
  ]);
  for (const code of ['corrupt', 'unavailable', 'busy', 'cancelled', 'exhausted'] as const) {
    assert.ok(uncertain.has(toStatus(new ArtifactError(code, 'x')).code), code);
  }
});

test('any message can be sent: well-formed and bounded', () => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.integer({ min: 0, max: 0xffff }).map(unit => String.fromCharCode(unit)),
        maxLength: 5000,
      }),
      text => {
        const { details } = toStatus(new ArtifactError('internal', text));
        assert.ok(details.length <= 4096);
        assert.ok(!details.includes('%'), 'kubelet may use it as a format');
        encodeURI(details); // as gRPC does; throws for a lone surrogate
      },
    ),
  );
});

test('a secret is removed before anything alters its text', () => {
  const secret = `100%d${'x'.repeat(5000)}`;
  const { details } = toStatus(new ArtifactError('internal', `refused: ${secret}`), text =>
    text.replaceAll(secret, '[redacted]'),
  );
  assert.equal(details, 'refused: [redacted]');
});
