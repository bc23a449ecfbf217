import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { rootNode } from '../linux/fuse-wire.ts';
import { formatName, nodeOf, parseName } from './landing-names.ts';

test('a name says the node and the size in whole blocks', () => {
  fc.assert(
    fc.property(fc.string().map(nodeOf), fc.integer({ min: 0, max: 2 ** 41 }), (node, size) => {
      const parsed = parseName(formatName(node, size));
      assert.equal(parsed?.node, node);
      assert.ok(parsed.size % 4096 === 0 && parsed.size >= size && parsed.size < size + 4096);
    }),
  );
});

test('other names are of no landing', () => {
  for (const name of ['', '.', '5', '5.', '.5', '1.5', '05.5', '5.5.5', '-5.5', '5.x', `${'9'.repeat(16)}.1`])
    assert.equal(parseName(name), undefined, name);
});

test('the node of a key is always the same, is not the root, and is that of no other key', () => {
  const keys = Array.from({ length: 10_000 }, (_, nth) => `view ${nth}`);
  assert.deepEqual(keys.map(nodeOf), keys.map(nodeOf));
  assert.equal(new Set([...keys.map(nodeOf), rootNode]).size, 10_001);
});
