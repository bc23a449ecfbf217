import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDigest, isDigestStart, isStartOf, parseDigest } from './digest.ts';

const hex = 'ab'.repeat(64);
const table: readonly (readonly [text: string, whole: boolean, start: boolean])[] = [
  [`sha256:${hex.slice(0, 64)}`, true, true],
  [`sha512:${hex}`, true, true],
  [`sha256:${hex.slice(0, 12)}`, false, true],
  [`sha512:${hex.slice(0, 64)}`, false, true],
  [`sha256:${hex.slice(0, 4)}`, false, true],
  [`sha256:${hex.slice(0, 3)}`, false, false],
  [`sha256:${hex.slice(0, 65)}`, false, false],
  [`sha256:${hex.slice(0, 12).toUpperCase()}`, false, false],
  [hex.slice(0, 12), false, true],
  [hex.slice(0, 11), false, false],
  ['sha384:abababab', false, false],
  ['model:1', false, false],
];

for (const [text, whole, start] of table) {
  test(`${text.slice(0, 24)} of ${text.length} characters is ${whole ? 'a digest' : start ? 'a possible prefix of one' : 'neither'}`, () => {
    assert.deepEqual([isDigest(text), isDigestStart(text)], [whole, start]);
  });
}

test('a digest matches its prefix with the algorithm, or of its hex digits alone', () => {
  const digest = parseDigest(`sha256:${hex.slice(0, 64)}`);
  for (const text of [digest, 'sha256:abab', 'abababababab']) assert.ok(isStartOf(text, digest), text);
  for (const text of ['sha512:abab', 'sha256:abac', 'bababababa']) assert.ok(!isStartOf(text, digest), text);
});
