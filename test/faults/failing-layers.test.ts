import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endureFailures } from '../endure/failures.ts';
import { openRandom } from '../support/os/random.ts';

const random = openRandom();

test(`many concurrent failing layers do not end the daemon, and leak no thread and no open file (FAULT_SEED=${random.seed})`, async () => {
  const { publishes, codes } = await endureFailures(undefined, 50, random, () => {});
  assert.ok(publishes >= 50);
  assert.ok((codes.get('FAILED_PRECONDITION') ?? 0) > 25);
});
