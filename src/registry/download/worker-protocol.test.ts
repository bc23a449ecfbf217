import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TransportError } from '../../oci/endpoint.ts';
import { ArtifactError } from '../../util/error.ts';
import { SizeError, StalledError, TransientError, UnreachableError } from '../http/retry.ts';
import { toError, toFailure } from './worker-protocol.ts';

const errors = [
  new ArtifactError('denied', 'a redirect to loopback'),
  new SizeError('another size'),
  new TransportError('reg:1', 'plain-http', 'no TLS', undefined),
  new TransientError('unavailable', '503', undefined, 7_000),
  new StalledError('unavailable', 'silent'),
  new UnreachableError('unavailable', 'refused'),
];

test('an error that comes from another thread has its class and its fields', () => {
  for (const error of errors) {
    const there = toError(structuredClone(toFailure(error)));
    assert.equal(there.constructor, error.constructor);
    assert.deepEqual(Object.entries(there), Object.entries(error));
    assert.equal(there.message, error.message);
  }
});
