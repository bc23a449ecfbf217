import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { flawOfGlob, matchesGlob, matchesWhole } from './glob.ts';

const table: readonly (readonly [glob: string, name: string, matches: boolean])[] = [
  ['*', 'a.txt', true],
  ['*', 'a/b.txt', true],
  ['*.safetensors', 'w/deep/model.safetensors', true],
  ['*.safetensors', 'model.safetensors.index.json', false],
  ['w/*', 'w/model', true],
  ['w/*', 'w/deep/model', false],
  ['w/**', 'w/deep/model', true],
  ['w/**', 'w', false],
  ['**/model', 'model', true],
  ['**/model', 'w/deep/model', true],
  ['w/**/model', 'w/model', true],
  ['w/**/model', 'w/a/b/model', true],
  ['w/**/model', 'wx/model', false],
  ['/w/*', 'w/model', true],
  ['model-0000[1-3].bin', 'model-00002.bin', true],
  ['model-0000[1-3].bin', 'model-00004.bin', false],
  ['[!a]b', 'cb', true],
  ['[!a]b', 'ab', false],
  ['[a', '[a', true],
  ['[]a]', ']', true],
  ['[!]a]', ']', false],
  ['[!]a]', 'b', true],
  ['[0-9a-f]', 'e', true],
  ['[a-]', '-', true],
  ['[[]', '[', true],
  ['?', '/', false],
  ['?.txt', 'ä.txt', true],
  ['a?', 'a😀', true],
  ['.*', '.hidden', true],
  ['(a|b)+', '(a|b)+', true],
  ['', '', true],
  ['', 'a', false],
];

for (const [glob, name, matches] of table) {
  test(`${JSON.stringify(glob)} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(name)}`, () => {
    assert.equal(matchesGlob(glob, name), matches);
  });
}

const whole: typeof table = [
  ['*', 'default', true],
  ['*', 'ghcr.io/acme', false],
  ['**', 'ghcr.io/acme/model:v1', true],
  ['acme', 'ghcr.io/acme', false],
  ['ghcr.io/*', 'ghcr.io/acme', true],
  ['ghcr.io/*', 'ghcr.io/acme/model', false],
  ['ghcr.io/**', 'ghcr.io/acme/model', true],
  ['ghcr.io/**', 'ghcr.io.evil.example/x', false],
  ['/ghcr.io/**', 'ghcr.io/acme', false],
  ['*.example.com/**', 'a.b.example.com:5000/x', false],
  ['*.example.com*/**', 'a.b.example.com:5000/x', true],
];

for (const [glob, text, matches] of whole) {
  test(`as a whole, ${JSON.stringify(glob)} ${matches ? 'matches' : 'does not match'} ${JSON.stringify(text)}`, () => {
    assert.equal(matchesWhole(glob, text), matches);
  });
}

const flaws: readonly (readonly [glob: string, flaw: string | undefined])[] = [
  ['[', 'its [ has no ]; for the character itself write [[]'],
  ['*.bin[0-9', 'its [ has no ]; for the character itself write [[]'],
  ['[]', 'its [ has no ]; for the character itself write [[]'],
  ['[!]', 'its [ has no ]; for the character itself write [[]'],
  ['[a-z][9-0]', 'its range 9-0 is empty; write 0-9'],
  ['[[]1].txt', undefined],
  ['a]', undefined],
  ['[!a-z]*/**', undefined],
  ['', undefined],
];

for (const [glob, flaw] of flaws) {
  test(`${JSON.stringify(glob)} ${flaw === undefined ? 'is valid' : 'is not valid'}`, () => {
    assert.equal(flawOfGlob(glob), flaw);
  });
}

test('a glob made to take long is matched at once', () => {
  const started = performance.now();
  assert.equal(matchesGlob(`${'*a'.repeat(100)}*b`, 'a'.repeat(4000)), false);
  assert.equal(matchesGlob(`/${'**a'.repeat(100)}b`, 'a'.repeat(4000)), false);
  assert.ok(performance.now() - started < 2000);
});

test('a name without special characters matches itself and nothing else', () => {
  const plain = fc.stringMatching(/^[a-z0-9./_-]{1,20}$/).filter(name => !name.startsWith('/'));
  fc.assert(
    fc.property(plain, plain, (a, b) => {
      assert.equal(matchesGlob(`/${a}`, b), a === b);
    }),
  );
});
