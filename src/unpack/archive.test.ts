import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pack } from 'tar-stream';
import { ArtifactError } from '../util/error.ts';
import { readArchive } from './archive.ts';

const never = new AbortController().signal;

async function* slices(bytes: Uint8Array, size: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function layout(): Promise<Buffer> {
  const tar = pack();
  tar.entry({ name: 'blobs/', type: 'directory' });
  tar.entry({ name: 'blobs/link', type: 'symlink', linkname: '/etc/passwd' });
  tar.entry({ name: 'index.json' }, '{}');
  tar.entry({ name: 'blobs/big' }, Buffer.alloc(100_000, 7));
  tar.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of tar) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

for (const size of [1000, 512, 1 << 20]) {
  test(`the files of a tar are read from pieces of ${size} bytes, all else is passed over`, async () => {
    const seen: [string, number, number][] = [];
    for await (const entry of readArchive(slices(await layout(), size), never)) {
      let bytes = 0;
      for await (const chunk of entry.content) bytes += chunk.length;
      seen.push([entry.path, entry.size, bytes]);
    }
    assert.deepEqual(seen, [
      ['index.json', 2, 2],
      ['blobs/big', 100_000, 100_000],
    ]);
  });
}

test('content that nobody reads is passed over', async () => {
  const seen: string[] = [];
  for await (const entry of readArchive(slices(await layout(), 4096), never)) seen.push(entry.path);
  assert.deepEqual(seen, ['index.json', 'blobs/big']);
});

test('what is not a tar is refused', async () => {
  await assert.rejects(
    Array.fromAsync(readArchive(slices(Buffer.alloc(2048, 'x'), 100), never)),
    (thrown: unknown) => thrown instanceof ArtifactError && thrown.code === 'invalid',
  );
});

test('a tar that ends in a file is refused', async () => {
  const read = async (): Promise<void> => {
    const whole = await layout();
    for await (const entry of readArchive(slices(whole.subarray(0, 10_000), 100), never)) {
      for await (const _ of entry.content);
    }
  };
  await assert.rejects(
    read,
    (thrown: unknown) => thrown instanceof ArtifactError && thrown.code === 'invalid',
  );
});

test('an aborted read ends with the reason', async () => {
  const controller = new AbortController();
  async function* endless(): AsyncIterable<Uint8Array> {
    yield (await layout()).subarray(0, 4096);
    controller.abort(new Error('enough'));
    yield Buffer.alloc(10);
  }
  await assert.rejects(Array.fromAsync(readArchive(endless(), controller.signal)), /enough/);
});
