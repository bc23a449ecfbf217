import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cpuTime } from '../../../test/support/os/cpu-time.ts';
import { alice, identity } from '../../../test/support/registry/guarded-registry.ts';
import { nobody } from '../../../test/support/registry/registry-client.ts';
import { formatErrorBody, shownBy } from './error-body.ts';

const complain = (code: unknown, message?: unknown, shown: readonly string[] = []) =>
  formatErrorBody(Buffer.from(JSON.stringify({ errors: [{ code, message }] })), shown);

test('code and message of the first error are quoted', () => {
  assert.equal(complain('MANIFEST_UNKNOWN', 'manifest unknown'), ' (MANIFEST_UNKNOWN: manifest unknown)');
  assert.equal(complain('DENIED'), ' (DENIED)');
});

test('a body that is not an error of the distribution API is not quoted', () => {
  for (const body of [
    '<html>secret</html>',
    '{"errors":[]}',
    '{"errors":"x"}',
    'null',
    '{"message":"secret"}',
  ]) {
    assert.equal(formatErrorBody(Buffer.from(body), []), '');
  }
  assert.equal(complain('no code', 'x'), '');
});

test('a text that repeats a secret sent to its server is not quoted', () => {
  const pair = Buffer.from('alice:pass:wörd').toString('base64');
  const shown = [
    ...shownBy(alice, { authorization: `Basic ${pair}` }),
    ...shownBy(identity, { authorization: 'Bearer a.b.c', 'x-key': 'from-hosts-toml' }),
  ];
  for (const text of ['pass:wörd', 'alice:pass:wörd', pair, `Basic ${pair}`, encodeURIComponent('pass:wörd')])
    assert.equal(complain('DENIED', `you are ${text}!`, shown), '', text);
  for (const text of ['refresh-me', 'Bearer a.b.c', 'from-hosts-toml', `${'.'.repeat(250)}refresh-me`])
    assert.equal(complain('DENIED', `you are ${text}!`, shown), '', text);
  assert.equal(complain('DENIED', 'you are alice', shown), ' (DENIED: you are alice)');
  assert.deepEqual(shownBy(nobody, {}), []);
});

test('control characters, terminal escapes and direction marks are removed', () => {
  assert.equal(complain('DENIED', 'a\x1b[31m\r\nb\u202ec\u0085d'), ' (DENIED: a [31m b c d)');
});

test('at most 256 bytes are quoted, in whole characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 0, maxLength: 400 }), message => {
      const quoted = complain('DENIED', message);
      assert.ok(Buffer.byteLength(quoted) <= 256 + ' ()'.length);
      assert.ok(quoted.isWellFormed());
      assert.doesNotMatch(quoted, /\p{C}/u);
    }),
  );
});

test('a token of a hostile server and a password that is no text cost little and throw nothing', () => {
  const start = cpuTime();
  shownBy(nobody, { authorization: `Bearer ${'='.repeat(60_000)}a` });
  assert.ok(cpuTime() - start < 200, `${cpuTime() - start} ms`);
  assert.ok(shownBy({ ...identity, token: 'half\ud800' }, {}).includes('half\ud800'));
});
