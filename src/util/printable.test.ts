import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError, toArtifactError } from './error.ts';
import { formatJson, printable } from './printable.ts';

const steering = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

test('printable text has no control and no reordering character, and plain text is unchanged', () => {
  assert.equal(printable('a\tb\u001b[2J\u202ec'), 'a\\u0009b\\u001b[2J\\u202ec');
  assert.equal(printable('models/größe:1 模型'), 'models/größe:1 模型');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      assert.doesNotMatch(printable(text), steering);
    }),
  );
});

test('JSON for a terminal is equal JSON without control characters', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), value => {
      assert.deepEqual(JSON.parse(formatJson(value)), JSON.parse(JSON.stringify(value)));
      assert.doesNotMatch(formatJson(value), steering);
      assert.doesNotMatch(formatJson(value, 2).replaceAll('\n', ''), steering);
    }),
  );
});

test('an error is one line that can be printed, whatever its parts contain', () => {
  const text = 'a\u001b]0;owned\u0007\r\nb\u009b2J\u2028';
  for (const error of [
    new ArtifactError('corrupt', text),
    toArtifactError(new Error(text)),
    toArtifactError(text),
  ]) {
    assert.equal(error.message, 'a\\u001b]0;owned\\u0007\\u000d\\u000ab\\u009b2J\\u2028');
  }
});
