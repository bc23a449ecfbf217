import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { startChild, waitUntil } from '../../test/support/child.ts';
import { mountTmpfs } from '../../test/support/tmpfs.ts';
import { temporaryFolder } from '../../test/support/temporary.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { toDigest } from '../oci/digest.ts';
import { openStore } from './store.ts';

const never = new AbortController().signal;

function describe(bytes: Uint8Array): Descriptor {
  const digest = toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));
  return { mediaType: 'application/octet-stream', digest, size: bytes.length, annotations: {} };
}

function openFiles(): number {
  return readdirSync('/proc/self/fd').length;
}

test('a download is a blob after commit and not before', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const bytes = randomBytes(100_000);
  const descriptor = describe(bytes);
  await using ingest = await store.blobs.ingest(descriptor, never);
  assert.equal(ingest.path, join(folder.path, 'ingest', descriptor.digest.replace(':', '-')));
  ingest.write(bytes.subarray(0, 99_999));
  ingest.write(bytes.subarray(99_999));
  await ingest.verify();
  assert.equal(await store.blobs.size(descriptor.digest), undefined);
  await ingest.commit();
  assert.deepEqual(readFileSync(store.blobs.path(descriptor.digest)), bytes);
  assert.equal(statSync(store.blobs.path(descriptor.digest)).mode & 0o7777, 0o644);
  assert.equal(existsSync(ingest.path), false);
});

test('commit before verify is a bug, and is refused', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const bytes = Buffer.from('unverified');
  await using ingest = await store.blobs.ingest(describe(bytes), never);
  ingest.write(bytes);
  await assert.rejects(ingest.commit(), { code: 'internal', message: /it is open, not verified/ });
  await ingest.verify();
  assert.throws(() => ingest.write(bytes), { code: 'internal', message: /it is verified, not open/ });
});

test('an empty blob needs no write', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const descriptor = describe(Buffer.alloc(0));
  await using ingest = await store.blobs.ingest(descriptor, never);
  await ingest.verify();
  await ingest.commit();
  assert.equal(await store.blobs.size(descriptor.digest), 0);
});

test('whatever is written, started again and reopened, the verdict is that of the whole file', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('write' as const), length: fc.nat(4000) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('flip' as const), at: fc.nat(3999) }) },
  );
  const property = fc.asyncProperty(
    fc.integer({ min: 0, max: 12_000 }),
    fc.array(step),
    async (size, steps) => {
      const bytes = randomBytes(size);
      const descriptor = describe(bytes);
      let wrong = false; // whether the bytes now in the file differ from the blob's
      let ingest = await store.blobs.ingest(descriptor, never);
      for (const step of steps) {
        const { offset } = ingest;
        if (step.kind === 'write') {
          ingest.write(bytes.subarray(offset, offset + step.length));
        } else if (step.kind === 'flip' && offset < size) {
          const chunk = Buffer.from(bytes.subarray(offset, offset + 4000));
          const at = step.at % chunk.length;
          chunk[at] = (chunk[at] ?? 0) ^ 1;
          ingest.write(chunk);
          wrong = true;
        } else if (step.kind === 'restart') {
          ingest.restart();
          wrong = false;
        } else {
          await ingest[Symbol.asyncDispose]();
          ingest = await store.blobs.ingest(descriptor, never);
          assert.equal(ingest.offset, offset, 'a resume goes on where the last one stopped');
        }
      }
      const complete = ingest.offset === size;
      const good =
        createHash('sha256').update(readFileSync(ingest.path)).digest('hex') === descriptor.digest.slice(7);
      assert.equal(good, complete && !wrong);
      if (good) {
        await ingest.verify();
        await ingest.commit();
        assert.deepEqual(readFileSync(store.blobs.path(descriptor.digest)), bytes);
      } else {
        await assert.rejects(ingest.verify(), { code: 'corrupt' });
        assert.equal(ingest.offset, 0, 'the wrong bytes are gone');
        await ingest.drop();
      }
      await ingest[Symbol.asyncDispose]();
      await store.blobs.remove(descriptor.digest);
    },
  );
  await fc.assert(property, { numRuns: 150 });
  assert.deepEqual(readdirSync(join(folder.path, 'ingest')), []);
});

test('too few bytes, and the wrong ones, are told by what was expected and what came', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const descriptor = describe(Buffer.from('right'));
  const { digest } = descriptor;
  {
    await using ingest = await store.blobs.ingest(descriptor, never);
    ingest.write(Buffer.from('rig'));
    await assert.rejects(ingest.verify(), {
      code: 'corrupt',
      message: `blob ${digest}: 3 bytes came where 5 were expected`,
    });
    ingest.write(Buffer.from('wrong'));
    await assert.rejects(ingest.verify(), {
      code: 'corrupt',
      message: `blob ${digest}: the 5 bytes that came have digest ${describe(Buffer.from('wrong')).digest}`,
    });
  }
  assert.deepEqual(readdirSync(join(folder.path, 'ingest')), [], 'nothing wrong is left for a resume');
  await using ingest = await store.blobs.ingest(descriptor, never);
  ingest.write(Buffer.from('right'));
  await ingest.verify();
});

test('more bytes than the descriptor has are refused, and it can start again', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const descriptor = describe(Buffer.from('right'));
  await using ingest = await store.blobs.ingest(descriptor, never);
  ingest.write(Buffer.from('righ'));
  assert.throws(() => ingest.write(Buffer.from('tt')), {
    code: 'corrupt',
    message: /more than its 5 bytes came/,
  });
  assert.equal(ingest.offset, 0);
  assert.equal(statSync(ingest.path).size, 0);
  ingest.write(Buffer.from('right'));
  await ingest.verify();
});

test('a partial file bigger than the blob is started again', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const descriptor = describe(Buffer.from('right'));
  writeFileSync(join(folder.path, 'ingest', descriptor.digest.replace(':', '-')), 'right and more');
  await using ingest = await store.blobs.ingest(descriptor, never);
  assert.equal(ingest.offset, 0);
});

test('one digest has one download at a time', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const descriptor = describe(Buffer.from('one'));
  {
    await using _ingest = await store.blobs.ingest(descriptor, never);
    await assert.rejects(store.blobs.ingest(descriptor, never), { code: 'busy' });
    await using _other = await store.blobs.ingest(describe(Buffer.from('other')), never);
  }
  await using _again = await store.blobs.ingest(descriptor, never);
});

test('hashing a big partial file leaves the event loop free, and ends when the call is aborted', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const descriptor = { ...describe(Buffer.from('big')), size: 200 * 1024 * 1024 };
  writeFileSync(
    join(folder.path, 'ingest', descriptor.digest.replace(':', '-')),
    Buffer.alloc(descriptor.size),
  );
  const before = openFiles();
  const controller = new AbortController();
  let turns = 0;
  const turn = setInterval(() => turns++, 1);
  const opening = store.blobs.ingest(descriptor, controller.signal);
  setTimeout(() => controller.abort(new Error('enough')), 50);
  await assert.rejects(opening, /enough/);
  clearInterval(turn);
  assert.ok(turns > 5, `${turns} turns in 50 ms`);
  assert.equal(openFiles(), before);
  assert.equal(
    statSync(join(folder.path, 'ingest', descriptor.digest.replace(':', '-'))).size,
    descriptor.size,
  );
});

test('no file stays open after a download, however it ended', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const before = openFiles();
  for (let round = 0; round < 10; round++) {
    const bytes = randomBytes(100);
    await using kept = await store.blobs.ingest(describe(bytes), never);
    kept.write(bytes.subarray(0, round));
    await using dropped = await store.blobs.ingest(describe(randomBytes(100)), never);
    await dropped.drop();
    await using wrong = await store.blobs.ingest(describe(randomBytes(100)), never);
    wrong.write(bytes);
    await assert.rejects(wrong.verify());
    await using committed = await store.blobs.ingest(describe(Buffer.concat([bytes, bytes])), never);
    committed.write(Buffer.concat([bytes, bytes]));
    await committed.verify();
    await committed.commit();
  }
  assert.equal(openFiles(), before);
});

test('a full disk ends a download as exhausted; its bytes are given back and all else is intact', async () => {
  await using folder = await temporaryFolder();
  const stateDir = mountTmpfs(join(folder.path, 'disk'), 'size=1m');
  await using store = await openStore({ stateDir });
  const small = randomBytes(1000);
  const { digest } = describe(small);
  await store.blobs.put(digest, small);
  const { usedBytes, usedInodes } = await store.disk.usage();
  {
    const chunk = randomBytes(100_000);
    await using ingest = await store.blobs.ingest({ ...describe(chunk), size: 10_000_000 }, never);
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
  await using folder = await temporaryFolder();
  const stateDir = mountTmpfs(join(folder.path, 'disk'), 'size=8m,nr_inodes=30');
  await using store = await openStore({ stateDir });
  for (let left = await inodesLeft(store); left > 0; left--)
    writeFileSync(join(stateDir, `filler-${left}`), '');
  const refused = store.blobs.ingest(describe(Buffer.from('x')), never);
  await assert.rejects(refused, { code: 'exhausted', message: /free space or inodes/ });
});

async function inodesLeft({ disk }: Awaited<ReturnType<typeof openStore>>): Promise<number> {
  const { totalInodes, usedInodes } = await disk.usage();
  return totalInodes - usedInodes;
}

test('a download whose process is killed at any moment goes on without a wrong byte', async () => {
  await using folder = await temporaryFolder();
  const bytes = Buffer.alloc(40_000_000);
  for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(at, at);
  const descriptor = describe(bytes);
  const partial = join(folder.path, 'ingest', descriptor.digest.replace(':', '-'));
  const script = `
    const { openStore } = await import(${JSON.stringify(new URL('./store.ts', import.meta.url).href)});
    const store = await openStore({ stateDir: ${JSON.stringify(folder.path)} });
    const ingest = await store.blobs.ingest(${JSON.stringify(descriptor)}, new AbortController().signal);
    const chunk = Buffer.alloc(10_000);
    console.log('writing');
    for (let at = ingest.offset; at < ${descriptor.size}; at = ingest.offset) {
      const part = chunk.subarray(0, Math.min(chunk.length, ${descriptor.size} - at));
      for (let i = 0; i < part.length; i++) part[i] = (at + i - ((at + i) % 4)) >>> (8 * ((at + i) % 4));
      ingest.write(part);
    }`;
  for (let kill = 0; kill < 4; kill++) {
    const before = existsSync(partial) ? statSync(partial).size : 0;
    await using child = await startChild(process.execPath, ['--input-type=module', '-e', script]);
    await waitUntil(child, () => child.output().includes('writing'), 'it wrote');
    await sleep(10 + 15 * kill);
    await child.end('SIGKILL');
    assert.ok(statSync(partial).size > before || before === descriptor.size);
  }
  await using store = await openStore({ stateDir: folder.path });
  await using ingest = await store.blobs.ingest(descriptor, never);
  assert.ok(ingest.offset > 0);
  while (ingest.offset < descriptor.size) ingest.write(bytes.subarray(ingest.offset, ingest.offset + 50_000));
  await ingest.verify();
  await ingest.commit();
  assert.deepEqual(readFileSync(store.blobs.path(descriptor.digest)), bytes);
});
