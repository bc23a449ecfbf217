import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../util/error.ts';
import { parseFilePath, parseTreePath } from './tree-path.ts';

const label = 'layer 2 of ghcr.io/acme/model:v1';

for (const [text, parts] of [
  ['model.bin', ['model.bin']],
  ['w/model.safetensors', ['w', 'model.safetensors']],
  ['/etc/abs.txt', ['etc', 'abs.txt']],
  ['//a///b//', ['a', 'b']],
  ['dir/', ['dir']],
  ['./a/./b/.', ['a', 'b']],
  ['...', ['...']],
  ['a..b/..c', ['a..b', '..c']],
  ['héllo/日本', ['héllo', '日本']],
  ['caf\udce9', ['caf\udce9']],
  ['a\\b\nc', ['a\\b\nc']],
  ['a/../b', ['b']],
  ['a/./..//b/c/..', ['b']],
  ['a/..', []],
  ['.', []],
  ['./', []],
  ['/', []],
  ['', []],
] as const) {
  test(`the path ${JSON.stringify(text)} has the components ${JSON.stringify(parts)}`, () => {
    assert.deepEqual(parseTreePath(text, label), parts);
  });
}

for (const [text, why] of [
  ['../../evil.txt', /"\.\.\/\.\.\/evil\.txt" leads out of its root/],
  ['..', /leads out of its root/],
  ['/../a', /leads out of its root/],
  ['a/../../b', /leads out of its root/],
  ['a\0b', /"a\\x00b" has a NUL byte/],
  ['a\ud800', /is not Unicode text/],
  ['\udcc3\udca9', /is not Unicode text/],
  [`a/${'x'.repeat(256)}`, /a part longer than 255 bytes/],
  ['é'.repeat(128), /a part longer than 255 bytes/],
  ['a/'.repeat(2049), /longer than 4096 bytes/],
] as const) {
  test(`the path ${JSON.stringify(text.slice(0, 20))} is refused: ${why.source}`, () => {
    assert.throws(
      () => parseTreePath(text, label),
      (error: unknown) => {
        assert.ok(error instanceof ArtifactError);
        assert.equal(error.code, 'unmountable');
        assert.match(error.message, why);
        assert.ok(error.message.startsWith(`${label}: the path "`));
        return true;
      },
    );
  });
}

test('components of 255 bytes and paths of 4,096 bytes are accepted', () => {
  assert.deepEqual(parseTreePath('é'.repeat(127), label), ['é'.repeat(127)]);
  assert.equal(parseTreePath('a/'.repeat(2048), label).length, 2048);
});

test('a file layer cannot be the root', () => {
  for (const text of ['', '.', '/', './/.']) {
    assert.throws(() => parseFilePath(text, label), {
      code: 'unmountable',
      message: /names the root itself/,
    });
  }
});

test('any path is refused as unmountable, or yields plain names that parse to themselves', () => {
  const piece = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('.', '..', '/', '', '\0', '\udcff'));
  fc.assert(
    fc.property(fc.array(piece), pieces => {
      const text = pieces.join('/');
      try {
        const parts = parseTreePath(text, label);
        for (const part of parts) assert.ok(!['', '.', '..'].includes(part) && !/[/\0]/.test(part));
        assert.deepEqual(parseTreePath(parts.join('/'), label), parts);
      } catch (error) {
        if (!(error instanceof ArtifactError && error.code === 'unmountable')) throw error;
      }
    }),
  );
});
