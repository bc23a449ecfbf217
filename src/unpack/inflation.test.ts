import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { inflate } from './inflation.ts';

const text = Buffer.from('some text, '.repeat(100_000));
const forms = { plain: text, gzip: gzipSync(text), zstd: zstdCompressSync(text) };

for (const [form, bytes] of Object.entries(forms)) {
  async function* source(onEnd: () => void): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < bytes.length; at += 100) yield bytes.subarray(at, at + 100);
    } finally {
      onEnd();
    }
  }

  test(`${form} bytes are returned unchanged`, async () => {
    assert.deepEqual(Buffer.concat(await Array.fromAsync(inflate(source(() => {})))), text);
  });

  test(`a reader that stops early ends the source of ${form} bytes`, async () => {
    const ended = Promise.withResolvers<void>();
    for await (const _ of inflate(source(ended.resolve))) break;
    await ended.promise;
  });

  test(`an error of the source of ${form} bytes reaches its reader`, async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(0, 200);
      throw new Error('the disk is gone');
    }
    await assert.rejects(Array.fromAsync(inflate(failing())), /the disk is gone/);
  });
}

test('an empty source yields nothing', async () => {
  async function* nothing(): AsyncGenerator<Uint8Array> {}
  assert.equal(Buffer.concat(await Array.fromAsync(inflate(nothing()))).length, 0);
});
