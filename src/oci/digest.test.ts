import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDigest, isDigestPrefix } from './digest.ts';

const hex = 'ab'.repeat(64);
const table: readonly (readonly [text: string, whole: boolean, start: boolean])[] = [
  [`sha256:${hex.slice(0, 64)}`, true, false],
  [`sha512:${hex}`, true, false],
  [`sha256:${hex.slice(0, 12)}`, false, true],
  [`sha512:${hex.slice(0, 64)}`, false, true],
  [`sha256:${hex.slice(0, 6)}`, false, true],
  [`sha256:${hex.slice(0, 5)}`, false, false],
  [`sha256:${hex.slice(0, 12).toUpperCase()}`, false, false],
  [hex.slice(0, 12), false, false],
  ['sha384:abababab', false, false],
  ['model:1', false, false],
];

for (const [text, whole, start] of table) {
  test(`${text.slice(0, 24)} of ${text.length} characters is ${whole ? 'a digest' : start ? 'the start of one' : 'neither'}`, () => {
    assert.deepEqual([isDigest(text), isDigestPrefix(text)], [whole, start]);
  });
}
