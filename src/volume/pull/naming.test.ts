import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import type { NameRecord, PinRecord } from '../../ports/records.ts';
import { createLeases } from '../cache/leases.ts';
import { createNaming } from './naming.ts';

const digest = toDigest('sha256', 'ab'.repeat(32));
const reference = 'r.example/a:1';

function openWorld() {
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
  const written: NameRecord[] = [];
  const naming = createNaming({
    names: {
      find: async () => name,
      put: async record => void written.push(record),
      async settle() {},
      async touch() {},
      async remove() {},
    },
    durability: { async settle() {} },
    pins: {
      find: async wanted => pins.get(wanted),
      put: async pin => void pins.set(pin.reference, pin),
      remove: async wanted => void pins.delete(wanted),
    },
    leases: createLeases(),
  });
  const resolved = { reference: { registry: 'r.example', path: 'a', tag: '1' }, descriptor };
  return { naming, pins, resolved, written };
}

test('a pin that a person has made their own does not end with the list of --prefetch', async () => {
  const { naming, pins } = openWorld();
  const keep = (): Promise<void> => naming.keep(reference, digest, [digest], true);
  await keep();
  // The list has just been compared with the pins.
  await Promise.all([naming.pin(reference), naming.unpin(reference, 'prefetch')]);
  assert.deepEqual(
    [...pins.values()].map(({ by }) => by),
    [undefined],
  );
  await keep();
  await naming.unpin(reference, 'prefetch');
  assert.equal(pins.size, 1);
  await naming.unpin(reference);
  assert.equal(pins.size, 0);
  await keep();
  await naming.unpin(reference, 'prefetch');
  assert.equal(pins.size, 0);
});

test('a pin of the list keeps what the list needs, and not what pods bring', async () => {
  const { naming, pins, resolved } = openWorld();
  const [one, two, three] = ['11', '22', '33'].map(hex => toDigest('sha256', hex.repeat(32)));
  assert.ok(one !== undefined && two !== undefined && three !== undefined);
  const held = (): readonly string[] | undefined => pins.get(reference)?.holds;
  await naming.keep(reference, digest, [digest, one], true);
  await naming.keep(reference, digest, [two], false);
  await naming.record(resolved, [three]);
  assert.deepEqual(held(), [digest, one, two]);
  await naming.keep(reference, digest, [digest, two], true);
  assert.deepEqual(held(), [digest, two]);
  await naming.keep(reference, three, [three], false);
  assert.deepEqual([pins.get(reference)?.digest, held()], [three, [three]], 'a tag that moved');

  await naming.pin(reference);
  await naming.record(resolved, [one]);
  assert.deepEqual(held(), [one], 'a pin of a person keeps what the artifact brings');
});

test('a name records no annotations and no content, which an index may have for each of its entries', async () => {
  const { naming, resolved, written } = openWorld();
  const other = toDigest('sha256', 'cd'.repeat(32));
  const annotations = { long: 'x'.repeat(100_000) };
  const descriptor = { ...resolved.descriptor, digest: other, annotations, data: Buffer.alloc(9) };
  await naming.record({ ...resolved, descriptor, authorised: 'local' }, [other]);
  assert.deepEqual(
    written.map(record => record.descriptor),
    [{ mediaType: 'm', digest: other, size: 1, annotations: {} }],
  );
});
