import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync, zstdCompressSync } from 'node:zlib';
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

/** Reads the files; other entries are skipped. */
async function* files(tar: AsyncIterable<Uint8Array>) {
  for await (const entry of readArchive(tar, never)) if (entry.kind === 'file') yield entry;
}

test('an entry that is not a file is named', async () => {
  const tar = pack();
  tar.entry({ name: 'a' }, 'a');
  tar.entry({ name: 'b', type: 'link', linkname: 'a' });
  tar.entry({ name: 'c', type: 'symlink', linkname: '/etc/passwd' });
  tar.entry({ name: 'd', type: 'fifo' });
  tar.entry({ name: 'e', type: 'character-device', devmajor: 1, devminor: 3 });
  tar.finalize();
  const others: string[] = [];
  for await (const entry of readArchive(tar as AsyncIterable<Uint8Array>, never))
    if (entry.kind === 'other') others.push(`${entry.path}: ${entry.what}`);
  assert.deepEqual(others, [
    'b: a hard link to "a"',
    'c: a symlink to "/etc/passwd"',
    'd: a fifo',
    'e: a character device',
  ]);
});

for (const size of [1000, 512, 1 << 20]) {
  test(`the files of a tar are read from chunks of ${size} bytes`, async () => {
    const seen: [string, number, number][] = [];
    for await (const entry of files(slices(await layout(), size))) {
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

test('content that is not read is skipped', async () => {
  const seen: string[] = [];
  for await (const entry of files(slices(await layout(), 4096))) seen.push(entry.path);
  assert.deepEqual(seen, ['index.json', 'blobs/big']);
});

test('what is not a tar is refused', async () => {
  await assert.rejects(
    Array.fromAsync(readArchive(slices(Buffer.alloc(2048, 'x'), 100), never)),
    (thrown: unknown) => thrown instanceof ArtifactError && thrown.code === 'invalid',
  );
});

test('a tar that ends inside a file is refused', async () => {
  const read = async (): Promise<void> => {
    const whole = await layout();
    for await (const entry of files(slices(whole.subarray(0, 10_000), 100))) {
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

for (const [name, compress] of [
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
] as const) {
  test(`a tar compressed with ${name} is read, whatever the chunks it arrives in`, async () => {
    for (const size of [1, 100, 1 << 20]) {
      const seen: [string, number][] = [];
      for await (const entry of files(slices(compress(await layout()), size))) {
        let bytes = 0;
        for await (const chunk of entry.content) bytes += chunk.length;
        seen.push([entry.path, bytes]);
      }
      assert.deepEqual(seen, [
        ['index.json', 2],
        ['blobs/big', 100_000],
      ]);
    }
  });

  test(`a tar compressed with ${name} that is cut short is refused`, async () => {
    const whole = compress(await layout());
    const read = async (): Promise<void> => {
      for await (const entry of files(slices(whole.subarray(0, whole.length - 20), 64)))
        for await (const _ of entry.content);
    };
    await assert.rejects(
      read,
      (thrown: unknown) => thrown instanceof ArtifactError && thrown.code === 'invalid',
    );
  });
}

test("a tar in another compression is refused by the compression's name", async () => {
  const bzip2 = Buffer.concat([Buffer.from('BZh9'), Buffer.alloc(600)]);
  await assert.rejects(
    Array.fromAsync(readArchive(slices(bzip2, 100), never)),
    (thrown: unknown) =>
      thrown instanceof ArtifactError && /compressed with bzip2; only plain tars/.test(thrown.message),
  );
});
