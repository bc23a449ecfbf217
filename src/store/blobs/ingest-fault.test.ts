import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startChild, waitUntil } from '../../../test/support/node/child.ts';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { createWriteback } from '../files/writeback.ts';
import { openStore } from '../store.ts';
import { openIngest, partialName } from './ingest.ts';

const never = new AbortController().signal;

/** Counts the open descriptors of this process for files below a directory. */
function openFiles(directory: string): number {
  const links = readdirSync('/proc/self/fd').map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the descriptor of the listing
    }
  });
  return links.filter(path => path.startsWith(`${directory}/`)).length;
}

test('hashing a large partial file leaves the event loop free, and ends on abort', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = { ...describeBlob(Buffer.from('big')), size: 200 * 1024 * 1024 };
  writeFileSync(
    join(directory.path, 'ingest', partialName(descriptor, 'registry')),
    Buffer.alloc(descriptor.size),
  );
  const before = openFiles(directory.path);
  const controller = new AbortController();
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  {
    await using ingest = await store.blobs.ingest(descriptor, 'registry', controller.signal);
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await assert.rejects(ingest.verify(), /enough/).finally(() => clearInterval(turn));
  }
  assert.ok(turns > 5, `${turns} turns in 50 ms`);
  assert.equal(openFiles(directory.path), before);
  assert.equal(
    statSync(join(directory.path, 'ingest', partialName(descriptor, 'registry'))).size,
    descriptor.size,
  );
});

test('no file stays open after a download, however it ended', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await store.blobs.put(describeBlob(Buffer.of()).digest, Buffer.of()); // opens what stays open
  const before = openFiles(directory.path);
  for (let round = 0; round < 10; round++) {
    const bytes = randomBytes(100);
    await using kept = await store.blobs.ingest(describeBlob(bytes), 'registry', never);
    kept.write(bytes.subarray(0, round));
    await using dropped = await store.blobs.ingest(describeBlob(randomBytes(100)), 'registry', never);
    await dropped.drop();
    await using wrong = await store.blobs.ingest(describeBlob(randomBytes(100)), 'registry', never);
    wrong.write(bytes);
    await assert.rejects(wrong.verify());
    await using committed = await store.blobs.ingest(
      describeBlob(Buffer.concat([bytes, bytes])),
      'registry',
      never,
    );
    committed.write(Buffer.concat([bytes, bytes]));
    await committed.verify();
    await committed.commit();
  }
  assert.equal(openFiles(directory.path), before);
});

/** The dependencies of a download, all of which succeed. */
const kept = { place: async () => {}, writeback: createWriteback(), closed: () => {} };

test('a file stays open until its writeback ends, and no further writeback starts meanwhile', async () => {
  await using directory = await temporaryDirectory();
  const sent: number[] = [];
  const written = Promise.withResolvers<void>();
  const start = (_: number, offset: number) => (sent.push(offset) > 1 ? undefined : written.promise);
  const bytes = Buffer.alloc(20_000_000);
  const keeper = { ...kept, writeback: { start } };
  const ingest = await openIngest(join(directory.path, 'partial'), describeBlob(bytes), keeper, never);
  while (ingest.offset < bytes.length) ingest.write(bytes.subarray(ingest.offset, ingest.offset + 1_000_000));
  assert.ok(sent.length > 2);
  assert.deepEqual(new Set(sent), new Set([0, 9_000_000]), 'it is asked again for what was not taken');
  const closing = ingest[Symbol.asyncDispose]();
  await sleep(20);
  assert.equal(openFiles(directory.path), 1);
  written.resolve();
  await closing;
  assert.equal(openFiles(directory.path), 0);
});

test('one file at a time is in writeback, and a failed writeback is ignored', async () => {
  const writeback = createWriteback();
  const first = writeback.start(987_654, 0, 1);
  assert.equal(writeback.start(987_654, 0, 1), undefined);
  await first;
  await writeback.start(987_654, 0, 1);
});

test('a file that could not be stored is not continued', async () => {
  await using directory = await temporaryDirectory();
  const bytes = randomBytes(1000);
  const path = join(directory.path, 'partial');
  const place = () => Promise.reject(Object.assign(new Error('EIO: i/o error, rename'), { code: 'EIO' }));
  const open = () => openIngest(path, describeBlob(bytes), { ...kept, place }, never);
  {
    await using ingest = await open();
    ingest.write(bytes);
    await ingest.verify();
    await assert.rejects(ingest.commit(), { code: 'internal', message: /^storing blob .*EIO/ });
  }
  await using again = await open();
  assert.equal(again.offset, 0);
});

test('a partial file that cannot be removed hides no error, stays closed, and is not busy', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = describeBlob(Buffer.from('right'));
  const fail = async (): Promise<void> => {
    await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
    rmSync(ingest.path);
    mkdirSync(ingest.path);
    throw new Error('the first failure');
  };
  const before = openFiles(directory.path);
  await assert.rejects(fail(), { message: 'the first failure' });
  assert.equal(openFiles(directory.path), before);
  rmdirSync(join(directory.path, 'ingest', partialName(descriptor, 'registry')));
  await using _again = await store.blobs.ingest(descriptor, 'registry', never);
});

test('a full disk ends a download as exhausted; its bytes are released and all else is intact', async () => {
  await using directory = await temporaryDirectory();
  const stateDir = mountTmpfs(join(directory.path, 'disk'), 'size=1m');
  await using store = await openStore({ stateDir });
  const small = randomBytes(1000);
  const { digest } = describeBlob(small);
  await store.blobs.put(digest, small);
  const { usedBytes, usedInodes } = await store.disk.usage();
  {
    const chunk = randomBytes(100_000);
    await using ingest = await store.blobs.ingest(
      { ...describeBlob(chunk), size: 10_000_000 },
      'registry',
      never,
    );
    const fill = (): void => {
      for (;;) ingest.write(chunk);
    };
    assert.throws(fill, { code: 'exhausted', message: /^downloading blob sha256:.*ENOSPC/ });
    assert.equal((await store.disk.usage()).usedBytes, usedBytes, 'at once');
  }
  const after = await store.disk.usage();
  assert.deepEqual([after.usedBytes, after.usedInodes], [usedBytes, usedInodes]);
  assert.deepEqual(Buffer.from(await store.blobs.read(digest)), small);
});

test('a disk without inodes refuses a download as exhausted', async () => {
  await using directory = await temporaryDirectory();
  const stateDir = mountTmpfs(join(directory.path, 'disk'), 'size=8m,nr_inodes=30');
  await using store = await openStore({ stateDir });
  for (let left = await inodesLeft(store); left > 0; left--)
    writeFileSync(join(stateDir, `filler-${left}`), '');
  const refused = store.blobs.ingest(describeBlob(Buffer.from('x')), 'registry', never);
  await assert.rejects(refused, { code: 'exhausted', message: /free space or inodes/ });
});

async function inodesLeft({ disk }: Awaited<ReturnType<typeof openStore>>): Promise<number> {
  const { totalInodes, usedInodes } = await disk.usage();
  return totalInodes - usedInodes;
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

test('a download whose process is killed at any moment resumes without a wrong byte', async () => {
  await using directory = await temporaryDirectory();
  const bytes = Buffer.alloc(40_000_000);
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(at, at);
  const descriptor = describeBlob(bytes);
  const partial = join(directory.path, 'ingest', partialName(descriptor, 'registry'));
  const script = `
    const { openStore } = await import(${JSON.stringify(new URL('../store.ts', import.meta.url).href)});
    const store = await openStore({ stateDir: ${JSON.stringify(directory.path)} });
    const ingest = await store.blobs.ingest(${JSON.stringify(descriptor)}, 'registry', new AbortController().signal);
    const chunk = Buffer.alloc(10_000);
    for (let at = ingest.offset; at < ${descriptor.size}; at = ingest.offset) {
      const part = chunk.subarray(0, Math.min(chunk.length, ${descriptor.size} - at));
      for (let i = 0; i < part.length; i++) part[i] = (at + i - ((at + i) % 4)) >>> (8 * ((at + i) % 4));
      ingest.write(part);
    }`;
  for (let kill = 0; kill < 4; kill++) {
    const before = sizeOf(partial);
    await using child = await startChild(process.execPath, ['--input-type=module', '-e', script]);
    // Waits for progress and not for time: on a busy machine it may not have run yet.
    const wrote = () => sizeOf(partial) > before || before === descriptor.size;
    await waitUntil(child, wrote, 'it wrote', 60_000);
    await sleep(15 * kill);
    await child.end('SIGKILL');
  }
  await using store = await openStore({ stateDir: directory.path });
  await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
  assert.ok(ingest.offset > 0);
  while (ingest.offset < descriptor.size) ingest.write(bytes.subarray(ingest.offset, ingest.offset + 50_000));
  await ingest.verify();
  await ingest.commit();
  assert.deepEqual(readFileSync(store.blobs.path(descriptor.digest)), bytes);
});
