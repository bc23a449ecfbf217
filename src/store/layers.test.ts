import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { mountTmpfs } from '../../test/support/tmpfs.ts';
import { temporaryFolder } from '../../test/support/temporary.ts';
import { toDigest } from '../oci/digest.ts';
import { decodeName } from '../oci/name.ts';
import type { Attributes, Toc, TocEntry } from '../oci/toc.ts';
import { openStore, type Store } from './store.ts';
import { readToc, writeToc } from './toc-file.ts';

const never = new AbortController().signal;
const digest = toDigest('sha256', 'ab'.repeat(32));
const diffId = toDigest('sha256', 'cd'.repeat(32));
const plain: Attributes = { mode: 0o644, uid: 0, gid: 0, mtime: 0 };

function file(path: string, body: number, content: string): TocEntry {
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { kind: 'file', path, size: content.length, body, sha256, ...plain };
}

const toc: Toc = {
  digest,
  diffId,
  bytes: 8,
  notes: ['one xattr was dropped'],
  entries: [{ kind: 'directory', path: 'a', ...plain }, file('a/one', 0, 'one'), file('a/three', 1, 'three')],
};

async function storeLayer(store: Store): Promise<void> {
  await using stage = await store.layers.stage(digest);
  writeFileSync(join(stage.path, '0'), 'one');
  writeFileSync(join(stage.path, '1'), 'three');
  await stage.commit(toc);
}

test('a layer is there after its stage is committed and not before', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  await using stage = await store.layers.stage(digest);
  writeFileSync(join(stage.path, '0'), 'one');
  writeFileSync(join(stage.path, '1'), 'three');
  assert.deepEqual([await store.layers.has(digest), await store.layers.toc(digest)], [false, undefined]);
  await stage.commit(toc);
  assert.deepEqual([await store.layers.has(digest), await store.layers.toc(digest)], [true, toc]);
  assert.equal(store.layers.path(digest), join(folder.path, 'layers/bodies/sha256', 'ab'.repeat(32)));
  assert.equal(readFileSync(store.layers.bodyPath(digest, 1), 'utf8'), 'three');
  assert.equal(await store.layers.check(digest, never), undefined);
});

test('a stage that is not committed leaves nothing', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  {
    await using stage = await store.layers.stage(digest);
    writeFileSync(join(stage.path, '0'), 'one');
  }
  assert.deepEqual(readdirSync(join(folder.path, 'tmp')), []);
  assert.equal(await store.layers.has(digest), false);
});

test('two stages of one layer both succeed, and the first one stays', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  await storeLayer(store);
  const before = readFileSync(join(store.layers.path(digest), 'toc'));
  await storeLayer(store);
  assert.deepEqual(readFileSync(join(store.layers.path(digest), 'toc')), before);
  assert.deepEqual(readdirSync(join(folder.path, 'tmp')), []);
});

test('a layer folder without its table is replaced', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  mkdirSync(store.layers.path(digest));
  writeFileSync(join(store.layers.path(digest), '0'), 'stale');
  await storeLayer(store);
  assert.equal(await store.layers.check(digest, never), undefined);
});

test('a table of contents torn or altered at any byte is never taken for whole', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  await storeLayer(store);
  const path = join(store.layers.path(digest), 'toc');
  const bytes = readFileSync(path);
  for (let size = bytes.length - 1; size >= 0; size -= 5) {
    writeFileSync(path, bytes.subarray(0, size));
    await assert.rejects(store.layers.toc(digest), { code: 'corrupt' }, `${size} bytes`);
  }
  for (let at = 0; at < bytes.length; at += 3) {
    const altered = Buffer.from(bytes);
    altered[at] = (altered[at] ?? 0) ^ 1;
    writeFileSync(path, altered);
    await assert.rejects(store.layers.toc(digest), { code: 'corrupt' }, `byte ${at}`);
    assert.match((await store.layers.check(digest, never)) ?? '', /toc is damaged/);
  }
});

test('the table of another layer is not taken for this one', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  await storeLayer(store);
  const path = join(store.layers.path(digest), 'toc');
  unlinkSync(path);
  await writeToc(path, { ...toc, digest: diffId });
  await assert.rejects(store.layers.toc(digest), {
    code: 'corrupt',
    message: /the table of layer sha256:cd/,
  });
});

test('a check names the body that is wrong', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  const problemAfter = async (damage: (body: string) => void): Promise<string | undefined> => {
    await store.layers.remove(digest);
    await storeLayer(store);
    damage(store.layers.bodyPath(digest, 1));
    return store.layers.check(digest, never);
  };
  assert.equal(await problemAfter(unlinkSync), 'body 1 ("a/three") is missing');
  assert.equal(await problemAfter(body => truncateSync(body, 2)), 'body 1 ("a/three") has 2 bytes, not 5');
  assert.match(
    (await problemAfter(body => writeFileSync(body, 'eerht'))) ?? '',
    /^body 1 \("a\/three"\) has sha256 .*, not /,
  );
});

test('a removed layer is gone, and what is not there has nothing wrong', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  await storeLayer(store);
  await store.layers.remove(digest);
  await store.layers.remove(digest);
  assert.equal(existsSync(store.layers.path(digest)), false);
  assert.equal(await store.layers.check(digest, never), undefined);
  assert.deepEqual(await store.layers.list(), []);
});

test('the list knows what a layer takes without a walk, and lists a damaged one, so that it is collected', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: folder.path });
  await storeLayer(store);
  const table = readFileSync(join(store.layers.path(digest), 'toc')).length;
  const [held] = await store.layers.list();
  assert.deepEqual({ ...held, since: 0 }, { digest, bytes: 8 + table, inodes: 4, since: 0 });
  truncateSync(join(store.layers.path(digest), 'toc'), 3);
  assert.deepEqual(await store.layers.list(), [{ digest, bytes: 0, inodes: 0, since: 0 }]);
});

test('a full disk refuses a layer as exhausted and gives its room back', async () => {
  await using folder = await temporaryFolder();
  await using store = await openStore({ stateDir: mountTmpfs(join(folder.path, 'disk'), 'size=256k') });
  const { usedBytes, usedInodes } = await store.disk.usage();
  const entries = Array.from({ length: 10_000 }, (_, body) => file(`file-${body}`, body, ''));
  const fill = async (): Promise<void> => {
    await using stage = await store.layers.stage(digest);
    await stage.commit({ ...toc, entries });
  };
  await assert.rejects(fill, { code: 'exhausted', message: /^storing layer sha256:ab/ });
  const after = await store.disk.usage();
  assert.deepEqual([after.usedBytes, after.usedInodes], [usedBytes, usedInodes]);
});

test('any table is read as it was written, whatever bytes its names are', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'toc');
  const name = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.uint8Array({ maxLength: 20 }).map(decodeName),
    fc.constantFrom('line\nfeed', '\u2028', '\udc80\udcff', '__proto__'),
  );
  const attributes = fc.record(
    {
      mode: fc.nat(0o1777),
      uid: fc.nat(),
      gid: fc.nat(),
      mtime: fc.integer(),
      xattrs: fc.dictionary(
        name.map(suffix => `user.${suffix}`),
        name,
        { noNullPrototype: true },
      ),
    },
    { requiredKeys: ['mode', 'uid', 'gid', 'mtime'], noNullPrototype: true },
  );
  const what = fc.constantFrom('character device', 'block device', 'FIFO', 'socket');
  const entry: fc.Arbitrary<TocEntry> = fc.oneof(
    fc.tuple(name, attributes).map(([path, stat]) => ({ kind: 'directory' as const, path, ...stat })),
    fc.tuple(name, fc.maxSafeNat(), fc.nat(), attributes).map(([path, size, body, stat]) => ({
      kind: 'file' as const,
      path,
      size,
      body,
      sha256: 'ef',
      ...stat,
    })),
    fc
      .tuple(name, name, attributes)
      .map(([path, target, stat]) => ({ kind: 'symlink' as const, path, target, ...stat })),
    fc.tuple(name, name).map(([path, target]) => ({ kind: 'link' as const, path, target })),
    fc.tuple(name, what).map(([path, what]) => ({ kind: 'special' as const, path, what })),
  );
  const property = fc.asyncProperty(fc.array(entry), fc.array(name), async (entries, notes) => {
    await writeToc(path, { ...toc, notes, entries });
    assert.deepEqual(await readToc(path), { ...toc, notes, entries });
    unlinkSync(path);
  });
  await fc.assert(property, { numRuns: 100 });
});

test('a line longer than what is read at once is whole', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'toc');
  const entries: TocEntry[] = [
    { kind: 'link', path: 'é'.repeat(700_000), target: 'x' },
    { kind: 'link', path: 'after', target: 'y' },
  ];
  await writeToc(path, { ...toc, entries });
  assert.deepEqual((await readToc(path)).entries, entries);
});
