import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { type Algorithm, type Digest, hexOf, toDigest } from '../../oci/digest.ts';
import { openStore } from '../store.ts';

const never = new AbortController().signal;

function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return toDigest(algorithm, createHash(algorithm).update(bytes).digest('hex'));
}

for (const algorithm of ['sha256', 'sha512'] as const) {
  test(`a ${algorithm} blob exists after a put, under its digest, readable by all`, async () => {
    await using directory = await temporaryDirectory();
    await using store = await openStore({ stateDir: directory.path });
    const bytes = randomBytes(1000);
    const digest = digestOf(bytes, algorithm);
    assert.equal(await store.blobs.size(digest), undefined);
    await store.blobs.put(digest, bytes);
    assert.equal(await store.blobs.size(digest), 1000);
    assert.deepEqual(Buffer.from(await store.blobs.read(digest)), bytes);
    const path = join(directory.path, 'blobs', algorithm, digest.slice(7));
    assert.equal(store.blobs.path(digest), path);
    assert.equal(statSync(path).mode & 0o7777, 0o644);
    assert.equal(await store.blobs.check(digest, never), undefined);
  });
}

test('a put of the wrong bytes stores nothing', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const digest = digestOf(Buffer.from('right'));
  await assert.rejects(store.blobs.put(digest, Buffer.from('wrong')), {
    code: 'corrupt',
    message: `blob ${digest} is not stored: its 5 bytes have digest ${digestOf(Buffer.from('wrong'))}`,
  });
  assert.deepEqual(await store.blobs.list(), []);
});

test('an existing blob keeps its inode when it is stored again, also concurrently', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const bytes = Buffer.from('twice');
  const digest = digestOf(bytes);
  await Promise.all(Array.from({ length: 20 }, () => store.blobs.put(digest, bytes)));
  const { ino } = statSync(store.blobs.path(digest));
  await store.blobs.put(digest, bytes);
  await using ingest = await store.blobs.ingest(
    { mediaType: '', digest, size: bytes.length, annotations: {} },
    'registry',
    never,
  );
  ingest.write(bytes);
  await ingest.verify();
  await ingest.commit();
  assert.equal(statSync(store.blobs.path(digest)).ino, ino);
  assert.deepEqual(await readdir(join(directory.path, 'ingest')), []);
  assert.deepEqual(await readdir(join(directory.path, 'tmp')), []);
});

test('a damaged blob is not served, and verification reports what is wrong', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const bytes = Buffer.from('{"schemaVersion":2}');
  const digest = digestOf(bytes);
  await store.blobs.put(digest, bytes);
  truncateSync(store.blobs.path(digest), 10);
  await assert.rejects(store.blobs.read(digest), { code: 'corrupt', message: /in the cache is damaged/ });
  const torn = digestOf(bytes.subarray(0, 10));
  assert.equal(
    (await store.blobs.check(digest, never))?.problem,
    `has 10 bytes of sha256 ${hexOf(torn)}, not ${hexOf(digest)}`,
  );
  await store.blobs.remove(digest);
  assert.equal(await store.blobs.check(digest, never), undefined, 'what is not there is not wrong');
});

test('a blob that is missing, or too large to read at once, is refused by name', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const bytes = Buffer.alloc(4 * 1024 * 1024 + 1);
  const digest = digestOf(bytes);
  await assert.rejects(store.blobs.read(digest), {
    code: 'not-found',
    message: `blob ${digest} is not in the cache`,
  });
  await store.blobs.put(digest, bytes);
  await assert.rejects(store.blobs.read(digest), { code: 'invalid', message: /4194305 bytes/ });
  const most = bytes.subarray(1);
  await store.blobs.put(digestOf(most), most);
  assert.equal((await store.blobs.read(digestOf(most))).length, most.length);
});

test('a removed blob is gone, and removing it again succeeds', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const digest = digestOf(Buffer.from('x'));
  await store.blobs.put(digest, Buffer.from('x'));
  await store.blobs.remove(digest);
  await store.blobs.remove(digest);
  assert.equal(await store.blobs.size(digest), undefined);
});

test('the list has size and age of every blob, and no foreign file', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const before = Date.now() - 1000;
  for (const [algorithm, size] of [
    ['sha256', 10],
    ['sha512', 20],
  ] as const) {
    const bytes = Buffer.alloc(size);
    await store.blobs.put(digestOf(bytes, algorithm), bytes);
  }
  writeFileSync(join(directory.path, 'blobs/sha256/README'), 'not ours');
  const held = await store.blobs.list();
  assert.deepEqual(
    held.map(({ digest, bytes, inodes }) => ({ digest, bytes, inodes })),
    [
      { digest: digestOf(Buffer.alloc(10)), bytes: 10, inodes: 1 },
      { digest: digestOf(Buffer.alloc(20), 'sha512'), bytes: 20, inodes: 1 },
    ],
  );
  assert.ok(held.every(({ since }) => since > before && since <= Date.now() + 1000));
});

test('the holes of a download that comes in ranges take no place in the list', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = { ...describeBlob(Buffer.from('large')), size: 64 * 1024 * 1024 };
  await using ingest = await store.blobs.ingest(descriptor, 'registry', new AbortController().signal);
  ingest.write(Buffer.alloc(8192, 'x'));
  ingest.file.holes?.fill(8192, [{ from: 1_000_000, to: 1_008_192 }]);
  const [held] = await store.blobs.list();
  assert.ok(held !== undefined && held.bytes >= 8192 && held.bytes <= 16_384, `${held?.bytes} bytes`);
  assert.equal(store.blobs.partial(descriptor, 'registry'), 8192);
  ingest.file.holes?.fill(10_000, []);
  assert.equal(store.blobs.partial(descriptor, 'registry'), 10_000);
});

test('a manifest that reports another size of a digest has a download of its own', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const bytes = randomBytes(1000);
  const descriptor = describeBlob(bytes);
  {
    await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
    ingest.write(bytes.subarray(0, 900));
    for (const size of [100, 1001]) {
      await using other = await store.blobs.ingest({ ...descriptor, size }, 'registry', never);
      assert.equal(other.offset, 0);
      assert.equal(store.blobs.partial({ ...descriptor, size }, 'registry'), 0);
    }
  }
  assert.equal(store.blobs.partial(descriptor, 'registry'), 900);
});

test('an abandoned download counts as used space and is removed like a blob; an open one is not', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = { mediaType: '', digest: digestOf(Buffer.alloc(10)), size: 10, annotations: {} };
  const { digest } = descriptor;
  {
    await using ingest = await store.blobs.ingest(descriptor, 'registry', new AbortController().signal);
    ingest.write(Buffer.alloc(7));
    await store.blobs.remove(digest);
    assert.equal(readFileSync(ingest.path).length, 7);
  }
  const [held] = await store.blobs.list();
  assert.deepEqual([held?.digest, held?.bytes], [digest, 7]);
  assert.equal(await store.blobs.size(digest), undefined);
  await store.blobs.remove(digest);
  assert.deepEqual(await store.blobs.list(), []);
  assert.deepEqual(await readdir(join(directory.path, 'ingest')), []);
});

for (const [what, options] of [
  ['bytes', 'size=64k'],
  ['inodes', 'size=8m,nr_inodes=40'],
] as const) {
  test(`a disk out of ${what} refuses a put as exhausted, and stored content stays`, async () => {
    await using directory = await temporaryDirectory();
    const stateDir = mountTmpfs(join(directory.path, 'disk'), options);
    await using store = await openStore({ stateDir });
    const stored: Buffer[] = [];
    const fill = async (): Promise<void> => {
      for (;;) {
        const bytes = randomBytes(4096);
        await store.blobs.put(digestOf(bytes), bytes);
        stored.push(bytes);
      }
    };
    await assert.rejects(fill, {
      code: 'exhausted',
      message: /^storing blob sha256:.*the disk of the cache is full/,
    });
    assert.ok(stored.length > 2);
    for (const bytes of stored) assert.deepEqual(readFileSync(store.blobs.path(digestOf(bytes))), bytes);
    assert.equal((await store.blobs.list()).length, stored.length);
    assert.deepEqual(await readdir(join(stateDir, 'tmp')), [], 'nothing half-made takes room');
    await store.blobs.remove(digestOf(stored[0] ?? Buffer.alloc(0)));
    const bytes = randomBytes(4096);
    await store.blobs.put(digestOf(bytes), bytes);
    assert.ok(existsSync(store.blobs.path(digestOf(bytes))));
  });
}
