import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { listed } from '../../../test/support/late/chunk-list.ts';
import { directory } from '../../../test/support/oci/nodes.ts';
import { viewRecord } from '../../../test/support/oci/view-sample.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { toDigest } from '../../oci/digest.ts';
import type { LateChunks } from '../../ports/late-views.ts';
import { blobAttributes, type FileNode } from '../../tree/tree.ts';
import { openStore, type Store } from '../store.ts';

const never = new AbortController().signal;
const MiB = 2 ** 20;
const bytes = randomBytes(5 * MiB + 100);
const digest = toDigest('sha256', hash('sha256', bytes));
const file: FileNode = {
  kind: 'file',
  source: { kind: 'blob', digest },
  body: 0,
  size: bytes.length,
  attributes: blobAttributes,
  layer: 'l',
};

async function createChunks(store: Store, listOf = bytes, keepsMaps = false): Promise<LateChunks> {
  const chunkSize = 2 * MiB;
  const [, { bytes: list }] = listed('large', bytes, listOf, chunkSize);
  const named = { digest: toDigest('sha256', hash('sha256', list)), chunkSize, bytes: list };
  const made = await store.lateViews.create(
    {
      key: 'k-1',
      record: { ...viewRecord, key: 'k', blobs: [digest], layers: [] },
      tree: directory({ large: file }),
      layers: [{ digest, size: bytes.length, list: named }],
      source: 'r.example',
      platform: undefined,
      landingOf: () => '/dev/null',
      keepsMaps,
    },
    never,
  );
  return chunksIn(made?.view);
}

function chunksIn(view: { chunksOf(layer: number): LateChunks | undefined } | undefined): LateChunks {
  const chunks = view?.chunksOf(0);
  assert.ok(chunks);
  return chunks;
}

async function bring(chunks: LateChunks, number: number, from = bytes): Promise<void> {
  using chunk = chunks.open(number);
  chunk.write(from.subarray(chunk.from, chunk.to));
  await chunk.verify();
  await chunk.show();
}

async function imageOf(store: Store): Promise<string> {
  return (await store.views.find('k-1'))?.image?.file ?? '';
}

test('chunks are shown one by one, the next process knows them, and the whole becomes the blob', async () => {
  await using temporary = await temporaryDirectory();
  const options = { stateDir: temporary.path, bootId: 'one' };
  {
    await using store = await openStore(options);
    const chunks = await createChunks(store);
    assert.deepEqual([chunks.count, chunks.bytes(), chunks.has(0, 1)], [3, 0, false]);
    const before = readFileSync(await imageOf(store));
    await bring(chunks, 1);
    const changed = [...readFileSync(await imageOf(store))].filter((byte, at) => byte !== before[at]);
    assert.equal(changed.length, 1); // a byte for each chunk
    assert.deepEqual(
      [chunks.has(2 * MiB, 2 * MiB), chunks.has(2 * MiB - 1, 2), chunks.has(4 * MiB - 1, 2)],
      [true, false, false],
    );
    await assert.rejects(chunks.finish(never), /chunks are missing/);
  }
  await using store = await openStore(options);
  const view = await store.lateViews.find('k-1');
  const chunks = chunksIn(view);
  assert.deepEqual([0, 1, 2].map(chunks.isShown), [false, true, false]);
  assert.throws(() => chunks.open(1), /is not to be written/);
  await bring(chunks, 2);
  await bring(chunks, 0);
  assert.equal(view?.isShown(0), false);
  await chunks.finish(never);
  assert.equal(view?.isShown(0), true);
  assert.equal(statSync(join(temporary.path, 'late/k-1/0')).ino, statSync(store.blobs.path(digest)).ino);
  assert.equal(await store.blobs.check(digest, never), undefined);
  const end = readFileSync(join(temporary.path, 'late/k-1/0.end'));
  assert.deepEqual(end.subarray(4 * MiB, bytes.length), bytes.subarray(4 * MiB));
  assert.equal(end.length % 4096, 0);
  assert.equal((await store.lateViews.find('k-1'))?.isShown(0), true);
  await store.lateViews.remove('k-1');
  assert.deepEqual(readFileSync(store.blobs.path(digest)), bytes);
});

test('a chunk with other bytes is not shown, has one writer, and comes again', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const chunks = await createChunks(store);
  {
    using chunk = chunks.open(0);
    assert.throws(() => chunks.open(0), /is not to be written/);
    await assert.rejects(chunk.show(), /is not verified/);
    chunk.write(bytes.subarray(0, 100));
    await assert.rejects(chunk.verify(), /100 bytes came where 2097152/);
    assert.throws(() => chunk.write(bytes.subarray(0, 2 * MiB)), /more than its 2097152 bytes/);
    chunk.restart();
    chunk.write(Buffer.alloc(2 * MiB));
    await assert.rejects(chunk.verify(), /not in the list/);
    await assert.rejects(chunk.show(), /is not verified/);
    assert.equal(chunk.offset, 0);
  }
  await bring(chunks, 0);
  assert.ok(chunks.isShown(0));
});

test('a list of other content hides all of it, stores nothing, and is remembered', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const wrong = Buffer.alloc(bytes.length, 7);
  const chunks = await createChunks(store, wrong);
  const before = readFileSync(await imageOf(store));
  for (const chunk of [0, 1, 2]) await bring(chunks, chunk, wrong);
  await assert.rejects(chunks.finish(never), {
    code: 'corrupt',
    message: /chunk list .* lies: all chunks of sha256/,
  });
  assert.deepEqual([chunks.hasLied(), chunks.has(0, 1), chunks.bytes()], [true, false, 0]);
  assert.deepEqual(readFileSync(await imageOf(store)), before);
  assert.equal(await store.blobs.size(digest), undefined);
  const again = chunksIn(await store.lateViews.find('k-1'));
  assert.ok(again.hasLied());
  await assert.rejects(again.finish(never), /lies/);
  const lost = chunksIn(await store.lateViews.find('k-1'));
  await store.views.remove('k-1');
  await assert.rejects(lost.finish(never), /lies/);
});

test('each change of a map is followed by its reread, which the next process makes, too', async () => {
  await using temporary = await temporaryDirectory();
  const images: Buffer[] = [];
  const reread = async (image: string): Promise<void> => void images.push(readFileSync(image));
  const options = { stateDir: temporary.path, bootId: 'one', reread };
  const wrong = Buffer.alloc(bytes.length, 7);
  {
    await using store = await openStore(options);
    const chunks = await createChunks(store, wrong, true);
    for (const chunk of [0, 1]) {
      await bring(chunks, chunk, wrong);
      assert.ok(images.at(-1)?.equals(readFileSync(await imageOf(store))));
    }
    assert.equal(images.length, 2);
  }
  await using store = await openStore(options);
  const view = await store.lateViews.find('k-1');
  const chunks = chunksIn(view);
  assert.equal(images.length, 2); // nothing has changed
  await view?.reread();
  await bring(chunks, 2, wrong);
  await assert.rejects(chunks.finish(never), /lies/);
  assert.equal(images.length, 5);
  assert.ok(images.at(-1)?.equals(readFileSync(await imageOf(store))));
});

test('a map that cannot be read again is said once, and its chunks are shown', async () => {
  await using temporary = await temporaryDirectory();
  const notes: string[] = [];
  const reread = () => Promise.reject(new Error('EROFS: /sys'));
  const log = { warn: (_: object, text: string) => void notes.push(text) };
  await using store = await openStore({ stateDir: temporary.path, reread, log });
  const chunks = await createChunks(store, bytes, true);
  for (const chunk of [0, 1]) await bring(chunks, chunk);
  assert.ok(chunks.has(0, 4 * MiB));
  assert.equal(notes.length, 1);
  assert.match(notes[0] ?? '', /ask the daemon for bytes that are on the disk, .*: .*EROFS: \/sys/);
});

test('a kernel that sees each change is told nothing', async () => {
  await using temporary = await temporaryDirectory();
  const reread = () => assert.fail();
  await using store = await openStore({ stateDir: temporary.path, reread });
  const chunks = await createChunks(store);
  for (const chunk of [0, 1, 2]) await bring(chunks, chunk);
  await (await store.lateViews.find('k-1'))?.reread();
});

test('without its list, chunks come from the blob', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  await bring(await createChunks(store), 0);
  rmSync(join(temporary.path, 'late/k-1/0.chunks'));
  const chunks = chunksIn(await store.lateViews.find('k-1'));
  assert.equal(chunks.isListed(), false);
  const descriptor = { digest, size: bytes.length, mediaType: '', annotations: {} };
  await using ingest = await store.blobs.ingest(descriptor, 'r.example', never);
  ingest.write(bytes);
  await ingest.verify();
  await ingest.commit();
  for (const number of [1, 2]) {
    using chunk = chunks.open(number);
    await chunk.copy();
    await chunk.show();
  }
  await chunks.finish(never);
  assert.ok(chunks.isWhole());
  assert.deepEqual(readFileSync(join(temporary.path, 'late/k-1/0')), bytes);
});

test('an older version does not understand the record, and removes what it would show too early', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  await createChunks(store);
  const record = JSON.parse(readFileSync(join(temporary.path, 'late/k-1/record'), 'utf8')) as object;
  assert.ok(!('layers' in record));
  assert.ok(existsSync(join(temporary.path, 'late/k-1/0.chunks')));
});
