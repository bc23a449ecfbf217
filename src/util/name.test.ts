import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeName, encodeName, isName, nameLength, quoteName } from './name.ts';

test('any bytes round-trip through text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      const text = decodeName(bytes);
      assert.deepEqual([...encodeName(text)], [...bytes]);
      assert.equal(nameLength(text), bytes.length);
      assert.ok(isName(text));
    }),
    { numRuns: 500 },
  );
});

test('bytes similar to UTF-8 round-trip through text', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary' }).map(text => Buffer.from(text)),
    fc.constantFrom('ed a0 80', 'c0 80', 'f4 90 80 80', 'e2 82', 'f0 9f 98', '80', 'ff', 'c3 a9').map(hex),
  );
  fc.assert(
    fc.property(fc.array(piece), pieces => {
      const bytes = Buffer.concat(pieces);
      assert.deepEqual([...encodeName(decodeName(bytes))], [...bytes]);
    }),
    { numRuns: 500 },
  );
});

test('Unicode text round-trips through bytes and is UTF-8', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      assert.equal(decodeName(encodeName(text)), text);
      assert.deepEqual([...encodeName(text)], [...Buffer.from(text)]);
    }),
  );
});

test('a byte that is not UTF-8 is a lone surrogate, and its neighbors stay text', () => {
  assert.equal(decodeName(hex('63 61 66 e9 2d c3 a9')), 'caf\udce9-é');
  assert.equal(decodeName(hex('ed a0 80')), '\udced\udca0\udc80');
});

test('lone surrogates that spell UTF-8, or that stand for no byte, are not a name', () => {
  assert.ok(!isName('\udcc3\udca9'));
  assert.ok(!isName('a\ud800b'));
  assert.ok(!isName('\udc41'));
  assert.ok(isName('a\udcffb'));
});

test('a quoted name contains nothing that controls a terminal or breaks a line', () => {
  assert.equal(quoteName('plain é 😀'), '"plain é 😀"');
  assert.equal(quoteName('a\n\x1b[31m"b"\\'), '"a\\x0a\\x1b[31m\\"b\\"\\\\"');
  assert.equal(quoteName('caf\udce9'), '"caf\\xe9"');
  assert.equal(quoteName('\u202egpj.exe\u2028'), '"\\u{202e}gpj.exe\\u{2028}"');
  assert.equal(quoteName('x'.repeat(5000)).length, 203);
  assert.equal(quoteName(`${'x'.repeat(199)}😀`), `"${'x'.repeat(199)}…"`);
  for (const text of ['модель', '模型', 'نمی\u200cخواهم', 'क्‍ष', '👩\u200d💻'])
    assert.equal(quoteName(text), `"${text}"`);
  assert.equal(quoteName('a\u200db'), '"a\\u{200d}b"');
});

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex');
}
