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
import { placeOfBody, type Toc, writeToc } from '../../../test/support/oci/toc.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { toDigest } from '../../oci/digest.ts';
import type { EntryAttributes, TocEntry, TocSummary } from '../../tree/toc.ts';
import { openStore, type Store } from '../store.ts';

const never = new AbortController().signal;
const digest = toDigest('sha256', 'ab'.repeat(32));
const diffId = toDigest('sha256', 'cd'.repeat(32));
const plain: EntryAttributes = { mode: 0o644, uid: 0, gid: 0, mtime: 0n };

function file(path: string, body: number, content: string): TocEntry {
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { kind: 'file', path, size: content.length, body, sha256, ...plain };
}

const toc: Toc = {
  digest,
  diffId,
  bytes: 8,
  bodies: 2,
  notes: ['one xattr was dropped'],
  entries: [{ kind: 'directory', path: 'a', ...plain }, file('a/one', 0, 'one'), file('a/three', 1, 'three')],
};

function fill(stage: string): TocSummary {
  writeFileSync(placeOfBody(stage, 0), 'one');
  writeFileSync(placeOfBody(stage, 1), 'three');
  return writeToc(stage, toc);
}

async function storeLayer(store: Store): Promise<void> {
  await using stage = await store.layers.stage(digest);
  await stage.commit(fill(stage.path));
}

async function readLayer(store: Store): Promise<Toc | undefined> {
  const entries: TocEntry[] = [];
  const summary = await store.layers.readToc(digest, some => void entries.push(...some), never);
  return summary && { ...summary, entries };
}

test('a layer exists after its stage is committed and not before', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await using stage = await store.layers.stage(digest);
  const summary = fill(stage.path);
  assert.deepEqual([await store.layers.has(digest), await readLayer(store)], [false, undefined]);
  await stage.commit(summary);
  const unpacked = join(directory.path, 'layers/bodies/sha256', 'ab'.repeat(32));
  assert.equal(store.layers.path(digest), unpacked);
  assert.equal(readFileSync(store.layers.bodyPath(digest, 1), 'utf8'), 'three');
  assert.deepEqual(
    (await store.layers.list()).map(held => [held.digest, held.bytes > 8]),
    [[digest, true]],
  );
  assert.equal(await store.layers.check(digest, never), undefined);
});

test('a layer that is removed while it is written stays removed', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  {
    await using stage = await store.layers.stage(digest);
    await stage.commit(fill(stage.path));
    await store.layers.remove(digest);
    assert.equal(await store.layers.has(digest), false);
  }
  await storeLayer(store);
  assert.equal(await store.layers.check(digest, never), undefined);
});

test('a store that is closed at once moves its layers to their paths', async () => {
  await using directory = await temporaryDirectory();
  {
    await using store = await openStore({ stateDir: directory.path });
    await using stage = await store.layers.stage(digest);
    await stage.commit(fill(stage.path));
  }
  await using store = await openStore({ stateDir: directory.path });
  assert.equal(await store.layers.check(digest, never), undefined);
});

test('a stage without commit leaves nothing', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  {
    await using stage = await store.layers.stage(digest);
    writeFileSync(placeOfBody(stage.path, 0), 'one');
  }
  assert.deepEqual(readdirSync(join(directory.path, 'tmp')), []);
  assert.equal(await store.layers.has(digest), false);
});

test('two stages of one layer both succeed, and the first one stays', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await storeLayer(store);
  const before = readFileSync(join(store.layers.path(digest), 'toc'));
  await storeLayer(store);
  assert.deepEqual(readFileSync(join(store.layers.path(digest), 'toc')), before);
  assert.deepEqual(readdirSync(join(directory.path, 'tmp')), []);
});

test('a layer directory without its table is replaced', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  mkdirSync(store.layers.path(digest));
  writeFileSync(placeOfBody(store.layers.path(digest), 0), 'stale');
  await storeLayer(store);
  assert.equal(await store.layers.check(digest, never), undefined);
});

test('a layer whose table is torn or of another version is missing, and is replaced', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  for (const damage of [
    (table: string) => table.slice(0, -1),
    (table: string) => table.replace('"version":3', '"version":2'),
    () => '',
  ]) {
    await storeLayer(store);
    const path = join(store.layers.path(digest), 'toc');
    writeFileSync(path, damage(readFileSync(path, 'utf8')));
    assert.equal(await store.layers.has(digest), false);
    await storeLayer(store);
    assert.equal(await store.layers.check(digest, never), undefined);
  }
});

test('a complete layer of another version is outdated, not damaged', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await storeLayer(store);
  const path = join(store.layers.path(digest), 'toc');
  const lines = readFileSync(path, 'utf8').replace('"version":3', '"version":2').split('\n').slice(0, -2);
  const text = lines.map(line => `${line}\n`).join('');
  writeFileSync(path, `${text}${createHash('sha256').update(text).digest('hex')}\n`);
  assert.equal((await store.layers.check(digest, never))?.outdated, true);
  writeFileSync(path, `${text}${createHash('sha256').update(`${text} `).digest('hex')}\n`);
  assert.equal((await store.layers.check(digest, never))?.outdated, undefined);
});

test('a table of contents torn or changed at any byte never counts as complete', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await storeLayer(store);
  const path = join(store.layers.path(digest), 'toc');
  const bytes = readFileSync(path);
  for (let size = bytes.length - 1; size >= 0; size -= 5) {
    writeFileSync(path, bytes.subarray(0, size));
    await assert.rejects(readLayer(store), { code: 'corrupt' }, `${size} bytes`);
  }
  for (let at = 0; at < bytes.length; at += 3) {
    const altered = Buffer.from(bytes);
    altered[at] = (altered[at] ?? 0) ^ 1;
    writeFileSync(path, altered);
    await assert.rejects(readLayer(store), { code: 'corrupt' }, `byte ${at}`);
    assert.match((await store.layers.check(digest, never))?.problem ?? '', /toc is damaged/);
  }
});

test('the table of another layer is not accepted', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await storeLayer(store);
  unlinkSync(join(store.layers.path(digest), 'toc'));
  writeToc(store.layers.path(digest), { ...toc, digest: diffId });
  await assert.rejects(readLayer(store), {
    code: 'corrupt',
    message: /its table is that of layer sha256:cd/,
  });
});

test('verification names the wrong body', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const problemAfter = async (damage: (body: string) => void): Promise<string | undefined> => {
    await store.layers.remove(digest);
    await storeLayer(store);
    damage(store.layers.bodyPath(digest, 1));
    return (await store.layers.check(digest, never))?.problem;
  };
  assert.equal(await problemAfter(unlinkSync), 'body 1 ("a/three") is missing');
  assert.equal(await problemAfter(body => truncateSync(body, 2)), 'body 1 ("a/three") has 2 bytes, not 5');
  assert.match(
    (await problemAfter(body => writeFileSync(body, 'eerht'))) ?? '',
    /^body 1 \("a\/three"\) has 5 bytes of sha256 .*, not /,
  );
});

test('a removed layer is gone, and a missing layer has no damage', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await storeLayer(store);
  await store.layers.remove(digest);
  await store.layers.remove(digest);
  assert.equal(existsSync(store.layers.path(digest)), false);
  assert.equal(await store.layers.check(digest, never), undefined);
  assert.deepEqual(await store.layers.list(), []);
});

test('the list has the size of a layer without reading its tree, and includes a damaged one for garbage collection', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await storeLayer(store);
  const table = readFileSync(join(store.layers.path(digest), 'toc')).length;
  const [held] = await store.layers.list();
  assert.deepEqual({ ...held, since: 0 }, { digest, bytes: 8 + table, inodes: 5, since: 0 });
  truncateSync(join(store.layers.path(digest), 'toc'), 3);
  assert.deepEqual(await store.layers.list(), [{ digest, bytes: 0, inodes: 0, since: 0 }]);
});

test('errors of the consumer are thrown only once the entries are verified', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await storeLayer(store);
  const taken: string[] = [];
  const refuse = (entries: readonly TocEntry[]): void => {
    taken.push(...entries.map(entry => entry.path));
    throw new Error('refused');
  };
  await assert.rejects(store.layers.readToc(digest, refuse, never), { message: /refused/ });
  assert.deepEqual(taken, ['a', 'a/one', 'a/three']);
  const path = join(store.layers.path(digest), 'toc');
  writeFileSync(path, readFileSync(path, 'utf8').replace('a/three', 'a/../..'));
  await assert.rejects(store.layers.readToc(digest, refuse, never), { code: 'corrupt' });
});

test('reading a table ends when the caller aborts', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await using stage = await store.layers.stage(digest);
  const entries = Array.from(
    { length: 10_000 },
    (_, n) => ({ kind: 'directory', path: `d${n}`, ...plain }) as const,
  );
  await stage.commit(writeToc(stage.path, { ...toc, entries }));
  const leaving = new AbortController();
  let taken = 0;
  const take = (some: readonly TocEntry[]): void => {
    taken += some.length;
    leaving.abort();
  };
  await assert.rejects(store.layers.readToc(digest, take, leaving.signal), { code: 'cancelled' });
  assert.ok(taken > 0 && taken < entries.length);
});

test('a stage on a full disk releases its space', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: mountTmpfs(join(directory.path, 'disk'), 'size=256k') });
  const { usedBytes, usedInodes } = await store.disk.usage();
  {
    await using stage = await store.layers.stage(digest);
    fill(stage.path);
    assert.throws(() => writeFileSync(placeOfBody(stage.path, 2), Buffer.alloc(300_000)), { code: 'ENOSPC' });
  }
  const after = await store.disk.usage();
  assert.deepEqual([after.usedBytes, after.usedInodes], [usedBytes, usedInodes]);
});
