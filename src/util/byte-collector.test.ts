import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import fc from 'fast-check';
import { createByteCollector } from './byte-collector.ts';

test('any chunks are one piece, up to the limit', () => {
  const chunk = fc.uint8Array({ maxLength: 3000 });
  fc.assert(
    fc.property(fc.array(chunk), fc.nat(20_000), (chunks, limit) => {
      const collector = createByteCollector(limit);
      let expected = Buffer.of();
      for (const one of chunks) {
        const fits = expected.length + one.length <= limit;
        assert.equal(collector.add(one), fits);
        if (fits) expected = Buffer.concat([expected, one]);
        one.fill(0);
      }
      assert.ok(collector.bytes().equals(expected));
    }),
  );
});

test('the bytes that were returned stay, whatever comes after them', () => {
  const collector = createByteCollector(100);
  collector.add(Buffer.from('abc'));
  const first = collector.bytes();
  collector.add(Buffer.from('def'));
  collector.clear();
  collector.add(Buffer.from('xyz'));
  assert.deepEqual([first.toString(), collector.bytes().toString()], ['abc', 'xyz']);
});

test('four million chunks of one byte take no more memory than their bytes', () => {
  const bytes = 4 * 1024 * 1024;
  const collector = createByteCollector(bytes);
  const chunk = Buffer.from('x');
  const before = used();
  for (let at = 0; at < bytes; at++) collector.add(chunk);
  const grown = used() - before;
  assert.equal(collector.bytes().length, bytes);
  // The last buffer, those that it replaced, and what the loop itself leaves.
  assert.ok(grown < 6 * bytes, `${grown} bytes`);
});

/** The memory of objects and buffers, collected or not. */
function used(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
