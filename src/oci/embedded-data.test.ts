import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDigest } from './digest.ts';
import { parseData } from './embedded-data.ts';

const digestOf = (bytes: Uint8Array, algorithm = 'sha256') =>
  parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`);

test('embedded content that matches digest and size is used', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.constantFrom('sha256', 'sha512'),
      (bytes, algorithm) => {
        const text = Buffer.from(bytes).toString('base64');
        const found = parseData(text, { digest: digestOf(bytes, algorithm), size: bytes.length });
        assert.deepEqual(found && [...found], [...bytes]);
      },
    ),
  );
});

const bytes = Buffer.from('{}');
const descriptor = { digest: digestOf(bytes), size: 2 };
for (const [name, text, of] of [
  ['no content', undefined, descriptor],
  ['other content', Buffer.from('[]').toString('base64'), descriptor],
  ['content of another size', bytes.toString('base64'), { ...descriptor, size: 3 }],
  ['content cut off', 'e3', descriptor],
  ['more than the content', 'e30=e30=', descriptor],
  ['what is not Base64', '{}{}', descriptor],
] as const) {
  test(`${name} is ignored`, () => assert.equal(parseData(text, of), undefined));
}
