import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { openStore } from '../store.ts';
import { partialName, retirePartials } from './ingest.ts';

const never = new AbortController().signal;
const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000);

test('a download becomes a blob at commit and not before', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const bytes = randomBytes(100_000);
  const descriptor = describeBlob(bytes);
  await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
  assert.equal(ingest.path, join(directory.path, 'ingest', partialName(descriptor, 'registry')));
  ingest.write(bytes.subarray(0, 99_999));
  ingest.write(bytes.subarray(99_999));
  await ingest.verify();
  assert.equal(await store.blobs.size(descriptor.digest), undefined);
  await ingest.commit();
  assert.deepEqual(readFileSync(store.blobs.path(descriptor.digest)), bytes);
  assert.equal(statSync(store.blobs.path(descriptor.digest)).mode & 0o7777, 0o644);
  assert.equal(existsSync(ingest.path), false);
});

test('commit before verify is refused', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const bytes = Buffer.from('unverified');
  await using ingest = await store.blobs.ingest(describeBlob(bytes), 'registry', never);
  ingest.write(bytes);
  await assert.rejects(ingest.commit(), { code: 'internal', message: /it is open, not verified/ });
  await ingest.verify();
  assert.throws(() => ingest.write(bytes), { code: 'internal', message: /it is verified, not open/ });
});

test('an empty blob needs no write', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = describeBlob(Buffer.alloc(0));
  await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
  await ingest.verify();
  await ingest.commit();
  assert.equal(await store.blobs.size(descriptor.digest), 0);
});

test('after any sequence of writes, restarts and reopens, the verdict is that of the whole file', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
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
      const descriptor = describeBlob(bytes);
      let wrong = false; // whether the file differs from the blob
      let ingest = await store.blobs.ingest(descriptor, 'registry', never);
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
          ingest = await store.blobs.ingest(descriptor, 'registry', never);
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
  assert.deepEqual(readdirSync(join(directory.path, 'ingest')), []);
});

test('errors for missing and wrong bytes name what was expected and what arrived', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = describeBlob(Buffer.from('right'));
  const { digest } = descriptor;
  {
    await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
    ingest.write(Buffer.from('rig'));
    await assert.rejects(ingest.verify(), {
      code: 'corrupt',
      message: `blob ${digest}: 3 bytes came where 5 were expected`,
    });
    ingest.write(Buffer.from('wrong'));
    await assert.rejects(ingest.verify(), {
      code: 'corrupt',
      message: `blob ${digest}: the 5 bytes that came have digest ${describeBlob(Buffer.from('wrong')).digest}, so they are dropped; check their source`,
    });
  }
  assert.deepEqual(readdirSync(join(directory.path, 'ingest')), [], 'nothing wrong is left for a resume');
  await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
  ingest.write(Buffer.from('right'));
  await ingest.verify();
});

test('more bytes than the descriptor announces are refused, and the download can restart', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = describeBlob(Buffer.from('right'));
  await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
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

test('a partial file larger than the blob is restarted', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = describeBlob(Buffer.from('right'));
  writeFileSync(join(directory.path, 'ingest', partialName(descriptor, 'registry')), 'right and more');
  await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
  assert.equal(ingest.offset, 0);
});

test('one digest has one download at a time', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const descriptor = describeBlob(Buffer.from('one'));
  {
    await using _ingest = await store.blobs.ingest(descriptor, 'registry', never);
    await assert.rejects(store.blobs.ingest(descriptor, 'registry', never), { code: 'busy' });
    await using _other = await store.blobs.ingest(describeBlob(Buffer.from('other')), 'registry', never);
  }
  await using _again = await store.blobs.ingest(descriptor, 'registry', never);
});

test('a download without writes for a day is removed, unless it is resumed', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const left = (text: string, changed: Date) => {
    const descriptor = describeBlob(Buffer.from(text));
    const path = join(directory.path, 'ingest', partialName(descriptor, 'registry'));
    writeFileSync(path, 'x');
    utimesSync(path, changed, changed);
    return descriptor;
  };
  const [given, goes, fresh] = [
    left('given', yesterday),
    left('goes on', yesterday),
    left('fresh', new Date()),
  ];
  {
    await using _open = await store.blobs.ingest(goes, 'registry', never);
    await store.retire();
    assert.deepEqual(
      [given, goes, fresh].map(blob => store.blobs.partial(blob, 'registry')),
      [0, 1, 1],
    );
  }
  await store.retire();
  assert.equal(store.blobs.partial(goes, 'registry'), 0);
});

test('a file that disappears during the cleanup is not an error', async () => {
  await using directory = await temporaryDirectory();
  for (const name of ['a', 'b']) {
    writeFileSync(join(directory.path, name), '');
    utimesSync(join(directory.path, name), yesterday, yesterday);
  }
  let taken = 0;
  const takeAll = async (): Promise<void> => {
    taken++;
    for (const name of readdirSync(directory.path)) rmSync(join(directory.path, name));
  };
  await retirePartials(directory.path, () => false, takeAll);
  assert.equal(taken, 1);
});
