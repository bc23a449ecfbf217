import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import type { ViewRecord } from '../../ports/store.ts';
import { createViewIndex } from './view-index.ts';

const digestOf = (letter: string) => toDigest('sha256', letter.repeat(64));
const viewOf = (key: string, blobs: readonly string[], layers: readonly string[]): ViewRecord => ({
  key,
  manifest: digestOf('f'),
  reference: 'r/a:v1',
  blobs: blobs.map(digestOf),
  layers: layers.map(digestOf),
  bytes: 0,
  inodes: 1,
});

test('views are found by their items, in their latest version', () => {
  const index = createViewIndex<ViewRecord>();
  index.set(viewOf('one', ['a', 'b'], ['c']));
  index.set(viewOf('two', ['b'], []));
  const keysOf = (kind: 'blobs' | 'layers', letter: string) =>
    index.keysOf({ kind, digest: digestOf(letter) }).toSorted();
  assert.deepEqual(keysOf('blobs', 'b'), ['one', 'two']);
  assert.deepEqual(keysOf('layers', 'c'), ['one']);
  assert.deepEqual(keysOf('blobs', 'c'), [], 'a layer is no blob');
  index.set(viewOf('one', ['a'], []));
  assert.deepEqual(keysOf('blobs', 'b'), ['two']);
  assert.deepEqual(keysOf('layers', 'c'), []);
  index.delete('two');
  assert.deepEqual(keysOf('blobs', 'b'), []);
  assert.equal(index.get('one')?.blobs.length, 1);
  assert.equal(index.get('two'), undefined);
});
