import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatName, parseName, wakingNode } from './landing-names.ts';

test('a name says the node and the size in whole blocks', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: wakingNode, max: 1e12 }),
      fc.integer({ min: 0, max: 2 ** 41 }),
      (node, size) => {
        const parsed = parseName(formatName(node, size));
        assert.equal(parsed?.node, node);
        assert.ok(parsed.size % 4096 === 0 && parsed.size >= size && parsed.size < size + 4096);
      },
    ),
  );
});

test('other names are of no landing', () => {
  for (const name of ['', '.', '5', '5.', '.5', '1.5', '05.5', '5.5.5', '-5.5', '5.x', `${'9'.repeat(16)}.1`])
    assert.equal(parseName(name), undefined, name);
});
