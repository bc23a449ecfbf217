import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import type { NameRecord, PinRecord } from '../../ports/records.ts';
import { createLeases } from '../cache/leases.ts';
import { createNaming } from './naming.ts';

const digest = toDigest('sha256', 'ab'.repeat(32));
const reference = 'r.example/a:1';

test('a pin that a person has made their own does not end with the list of --prefetch', async () => {
  const pins = new Map<string, PinRecord>();
  const descriptor = { mediaType: 'm', digest, size: 1, annotations: {} };
  const name: NameRecord = {
    reference,
    descriptor,
    resolvedAt: 0,
    authorised: 'anonymous',
    holds: [],
    usedAt: 0,
  };
  const naming = createNaming({
    names: { find: async () => name, async put() {}, async touch() {}, async remove() {} },
    pins: {
      find: async wanted => pins.get(wanted),
      put: async pin => void pins.set(pin.reference, pin),
      remove: async wanted => pins.delete(wanted),
    },
    leases: createLeases(),
  });
  await naming.pin(reference, 'prefetch');
  // The list has just been compared with the pins.
  await Promise.all([naming.pin(reference), naming.unpin(reference, 'prefetch')]);
  assert.deepEqual(
    [...pins.values()].map(({ by }) => by),
    [undefined],
  );
  await naming.pin(reference, 'prefetch');
  await naming.unpin(reference, 'prefetch');
  assert.equal(pins.size, 1);
  await naming.unpin(reference);
  assert.equal(pins.size, 0);
  await naming.pin(reference, 'prefetch');
  await naming.unpin(reference, 'prefetch');
  assert.equal(pins.size, 0);
});
