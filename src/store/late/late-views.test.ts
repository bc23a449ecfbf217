import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { directory } from '../../../test/support/oci/nodes.ts';
import { viewRecord } from '../../../test/support/oci/view-sample.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { type Digest, toDigest } from '../../oci/digest.ts';
import type { LateList, LateView } from '../../ports/late-views.ts';
import { blobAttributes, type FileNode } from '../../tree/tree.ts';
import { openStore, type Store } from '../store.ts';

const never = new AbortController().signal;
const source = 'r.example';
const [large, small] = [randomBytes(2 ** 20 + 100), Buffer.from('small')];
const digestOf = (bytes: Buffer): Digest => toDigest('sha256', hash('sha256', bytes));
const [digest, smallDigest] = [digestOf(large), digestOf(small)];

function file(of: Buffer): FileNode {
  const content = { kind: 'blob', digest: digestOf(of) } as const;
  return { kind: 'file', source: content, body: 0, size: of.length, attributes: blobAttributes, layer: 'l' };
}

async function createImage(store: Store, key: string, list?: LateList) {
  await store.blobs.put(smallDigest, small);
  const bytes = large.length + small.length;
  const record = { ...viewRecord, key: 'k', bytes, blobs: [digest, smallDigest], layers: [] };
  const tree = directory({ large: file(large), small: file(small) });
  const layers = [{ digest, size: large.length, list }];
  const plan = {
    key,
    record,
    tree,
    layers,
    source,
    platform: undefined,
    landingOf: () => '/dev/null',
    keepsMaps: false,
  };
  const made = await store.lateViews.create(plan, never);
  assert.ok(made);
  return made;
}

async function createLate(store: Store, key = 'k-1'): Promise<LateView> {
  return (await createImage(store, key)).view;
}

async function download(store: Store, from: string): Promise<void> {
  const descriptor = { digest, size: large.length, mediaType: '', annotations: {} };
  await using ingest = await store.blobs.ingest(descriptor, from, never);
  ingest.write(large);
  await ingest.verify();
  await ingest.commit();
}

function read(late: LateView): Buffer {
  using open = late.open(0);
  return readFileSync(open.fd);
}

test('what is read while chunks of it are written is read through the page cache', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const bytes = Buffer.alloc(100);
  const list = { digest: digestOf(bytes), chunkSize: 2 ** 20, bytes };
  const byLayer = await createImage(store, 'k-1');
  const byChunk = await createImage(store, 'k-2', list);
  assert.deepEqual([byLayer.image.isDirect, byChunk.image.isDirect], [store.imageSupport.isDirect, false]);
});

test('the file of a layer has room from the start, and becomes its blob', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const late = await createLate(store);
  const data = join(temporary.path, 'late/k-1/0');
  assert.ok(statSync(data).blocks * 512 >= large.length);
  assert.equal(statSync(data).size, 0);
  await download(store, source);
  const image = (await store.views.find('k-1'))?.image?.file ?? '';
  const before = readFileSync(image);
  await late.show(0);
  assert.equal(statSync(data).ino, statSync(store.blobs.path(digest)).ino);
  const end = readFileSync(join(temporary.path, 'late/k-1/0.end'));
  assert.deepEqual(end.subarray(2 ** 20, 2 ** 20 + 100), large.subarray(2 ** 20));
  assert.equal(end.length % 4096, 0);
  const changed = [...readFileSync(image)].filter((byte, at) => byte !== before[at]);
  assert.equal(changed.length, 2); // one byte for each chunk
  assert.equal(await store.blobs.check(digest, never), undefined);
});

test('a blob of another download is copied into the file that the kernel has open', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const late = await createLate(store);
  const { ino } = statSync(join(temporary.path, 'late/k-1/0'));
  await download(store, 'another.example');
  assert.notEqual(statSync(store.blobs.path(digest)).ino, ino);
  await late.prepare(0);
  await late.show(0);
  assert.equal(statSync(join(temporary.path, 'late/k-1/0')).ino, ino);
  assert.deepEqual(read(late), large);
});

test('a download that was dropped begins anew in the same file', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const late = await createLate(store);
  const descriptor = { digest, size: large.length, mediaType: '', annotations: {} };
  {
    await using ingest = await store.blobs.ingest(descriptor, source, never);
    assert.equal(ingest.offset, 0); // it is removed, because it has nothing
  }
  await late.prepare(0);
  await download(store, source);
  assert.equal(statSync(join(temporary.path, 'late/k-1/0')).ino, statSync(store.blobs.path(digest)).ino);
});

/** Writes wrong bytes where the next download of the layer does. */
async function spoilDownload(store: Store): Promise<void> {
  const descriptor = { digest, size: large.length, mediaType: '', annotations: {} };
  await using ingest = await store.blobs.ingest(descriptor, source, never);
  ingest.restart();
  ingest.write(Buffer.alloc(large.length));
  await assert.rejects(ingest.verify(), /have digest/);
}

test('what is shown is no longer written to, also by the next process, whose cache lost the blob', async () => {
  await using temporary = await temporaryDirectory();
  const options = { stateDir: temporary.path, bootId: 'one' };
  {
    await using store = await openStore(options);
    const late = await createLate(store);
    await download(store, source);
    await late.show(0);
  }
  await using store = await openStore(options);
  await store.blobs.remove(digest);
  const late = await store.lateViews.find('k-1');
  assert.ok(late);
  assert.ok(late.isShown(0));
  await late.prepare(0);
  await spoilDownload(store);
  assert.deepEqual(read(late), large);
});

test('the file of two late views is not written to for one when the other shows it', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const [shown, other] = [await createLate(store, 'k-1'), await createLate(store, 'k-2')];
  await download(store, source);
  await shown.show(0);
  await store.blobs.remove(digest);
  await other.prepare(0);
  await spoilDownload(store);
  assert.deepEqual(read(shown), large);
  await download(store, 'another.example');
  await other.show(0);
  assert.deepEqual([read(shown), read(other)], [large, large]);
});

test('a layer of which a killed process showed the first chunk only is shown as a whole', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const late = await createLate(store);
  const image = (await store.views.find('k-1'))?.image?.file ?? '';
  const before = readFileSync(image);
  await download(store, source);
  await late.show(0);
  const after = readFileSync(image);
  const [first = 0] = [...after.keys()].filter(at => after[at] !== before[at]);
  writeFileSync(image, before);
  assert.ok(!(await store.lateViews.find('k-1'))?.isShown(0));
  writeFileSync(image, Buffer.concat([after.subarray(0, first + 1), before.subarray(first + 1)]));
  assert.ok((await store.lateViews.find('k-1'))?.isShown(0));
  assert.deepEqual(readFileSync(image), after);
});

test('each other byte of an image is found, whichever chunks it shows', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const late = await createLate(store);
  const check = (): Promise<string | undefined> => store.lateViews.check('k-1', never);
  assert.equal(await check(), undefined);
  await download(store, source);
  await late.show(0);
  assert.equal(await check(), undefined);
  const image = (await store.views.find('k-1'))?.image?.file ?? '';
  const right = readFileSync(image);
  for (let at = 0; at < right.length; at += at < 8192 ? 41 : 2003) {
    const wrong = Buffer.from(right);
    wrong[at] = (wrong[at] ?? 0) ^ 0x10;
    writeFileSync(image, wrong);
    assert.match((await check()) ?? '', /^its image is not the one that was made for it$/, `byte ${at}`);
  }
  writeFileSync(image, right.subarray(0, -1));
  assert.match((await check()) ?? '', /is not the one/);
  writeFileSync(image, right);
  assert.equal(await check(), undefined);
  chmodSync(image, 0o666);
  assert.equal(await check(), 'its image has mode 666, not 600');
  await store.lateViews.remove('k-1');
  assert.equal(await check(), undefined);
});

test('a late view is found after a restart, and after a reboot it is removed with its view', async () => {
  await using temporary = await temporaryDirectory();
  const stateDir = temporary.path;
  {
    await using store = await openStore({ stateDir, bootId: 'one' });
    await createLate(store);
  }
  {
    await using store = await openStore({ stateDir, bootId: 'one' });
    assert.deepEqual(await store.lateViews.keys(), ['k-1']);
    assert.equal((await store.lateViews.find('k-1'))?.complete, 'k');
  }
  mkdirSync(join(stateDir, 'late/torn'));
  writeFileSync(join(stateDir, 'late/torn/record'), '{');
  await using store = await openStore({ stateDir, bootId: 'two' });
  assert.deepEqual(await store.lateViews.keys(), []);
  assert.equal(await store.views.find('k-1'), undefined);
  for (const name of ['k-1', 'torn']) assert.ok(!existsSync(join(stateDir, 'late', name)));
});

test('its end leaves the blob as it was verified', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const late = await createLate(store);
  await download(store, source);
  await late.show(0);
  const item = { kind: 'blobs', digest } as const;
  await store.lateViews.remove('k-1');
  assert.equal(statSync(store.blobs.path(digest)).nlink, 1);
  assert.deepEqual(await store.evidence.states([item], 0, never), ['verified']);
  linkSync(store.blobs.path(digest), join(temporary.path, 'link')); // as somebody else could
  assert.deepEqual(await store.evidence.states([item], 0, never), ['changed']);
});
