import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lchownSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { directory, symlink } from '../../../test/support/oci/nodes.ts';
import { putFile, viewRecord as record } from '../../../test/support/oci/view-sample.ts';
import { runProgram } from '../../../test/support/os/program.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { openStore } from '../store.ts';

const never = new AbortController().signal;

test('a view is found with its record, also when the store is reopened', async () => {
  await using temporary = await temporaryDirectory();
  {
    await using store = await openStore({ stateDir: temporary.path });
    assert.equal(await store.views.find(record.key), undefined);
    const built = await store.views.build(record, directory({}), never);
    assert.deepEqual(built, { ...record, path: join(temporary.path, 'views/key-1'), usedAt: built.usedAt });
    assert.deepEqual(await store.views.find(record.key), built);
  }
  await using store = await openStore({ stateDir: temporary.path });
  const found = await store.views.find(record.key);
  assert.deepEqual(found, { ...record, path: join(temporary.path, 'views/key-1'), usedAt: found?.usedAt });
  assert.deepEqual(await store.views.list(), [found]);
});

test('an artifact type of an older version that is longer than a media type may be is not shown', async () => {
  await using temporary = await temporaryDirectory();
  {
    await using store = await openStore({ stateDir: temporary.path });
    const [long, longest] = ['b'.repeat(256), 'b'.repeat(255)];
    await store.views.build({ ...record, key: 'long', artifactType: long }, directory({}), never);
    await store.views.build({ ...record, key: 'longest', artifactType: longest }, directory({}), never);
  }
  await using store = await openStore({ stateDir: temporary.path });
  const types = (await store.views.list()).map(({ key, artifactType }) => `${key} ${artifactType?.length}`);
  assert.deepEqual(types.toSorted(), ['long undefined', 'longest 255']);
});

test('usedAt returns the last touch, also when the store is reopened', async () => {
  await using temporary = await temporaryDirectory();
  const old = new Date('2020-01-01T00:00:00Z');
  {
    await using store = await openStore({ stateDir: temporary.path });
    await store.views.build(record, directory({}), never);
    await store.views.touch('absent');
  }
  utimesSync(join(temporary.path, 'views/key-1.json'), old, old);
  let now: number;
  {
    await using store = await openStore({ stateDir: temporary.path });
    assert.equal((await store.views.find(record.key))?.usedAt, old.getTime());
    const before = Date.now();
    await store.views.touch(record.key);
    now = (await store.views.find(record.key))?.usedAt ?? 0;
    assert.ok(now >= before && now <= Date.now());
  }
  await using store = await openStore({ stateDir: temporary.path });
  assert.ok(Math.abs(((await store.views.find(record.key))?.usedAt ?? 0) - now) < 2);
});

test('many builds of one key at once make one view, and a later build does not change it', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const tree = directory({ a: await putFile(store.blobs, 'a') });
  const views = await Promise.all(Array.from({ length: 10 }, () => store.views.build(record, tree, never)));
  assert.equal(new Set(views).size, 1);
  const { ino } = statSync(views[0]?.path ?? '');
  await store.views.build(record, directory({}), never);
  assert.equal(statSync(views[0]?.path ?? '').ino, ino);
  assert.deepEqual(readdirSync(views[0]?.path ?? ''), ['a']);
});

test('a caller that waits for a build that is aborted builds it itself', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const a = await putFile(store.blobs, 'a');
  const tree = directory(Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`f${n}`, a])));
  const controller = new AbortController();
  const first = store.views.build(record, tree, controller.signal);
  const second = store.views.build(record, tree, never);
  controller.abort(new Error('enough'));
  await assert.rejects(first, /enough/);
  assert.equal(readdirSync((await second).path).length, 2000);
  assert.deepEqual(readdirSync(join(temporary.path, 'tmp')), []);
});

test('a view with a torn record counts as absent; the record is rewritten, and the tree, which may be mounted, stays', async () => {
  await using temporary = await temporaryDirectory();
  await using before = await openStore({ stateDir: join(temporary.path, 'state') });
  const tree = directory({ a: await putFile(before.blobs, 'a') });
  await before.views.build(record, tree, never);
  await before[Symbol.asyncDispose]();
  const sidecar = join(temporary.path, 'state/views/key-1.json');
  const whole = readFileSync(sidecar);
  const { ino } = statSync(join(temporary.path, 'state/views/key-1'));
  for (const torn of ['', whole.subarray(0, 20), JSON.stringify({ ...record, key: 'other' }), 'null']) {
    writeFileSync(sidecar, torn);
    await using store = await openStore({ stateDir: join(temporary.path, 'state') });
    assert.equal(await store.views.find(record.key), undefined);
    assert.deepEqual(await store.views.list(), []);
    const view = await store.views.build(record, tree, never);
    assert.equal(readFileSync(join(view.path, 'a'), 'utf8'), 'a');
    assert.deepEqual(readFileSync(sidecar), whole);
    assert.equal(statSync(view.path).ino, ino);
  }
});

test('a view that was deleted by hand is absent at once', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const { path } = await store.views.build(record, directory({}), never);
  rmSync(path, { recursive: true });
  assert.equal(await store.views.find(record.key), undefined);
});

for (const [what, put] of [
  ['file', (path: string) => writeFileSync(path, '')],
  ['symlink', (path: string) => symlinkSync('/etc', path)],
] as const) {
  test(`a ${what} in place of a view does not count as one, and the next build replaces it`, async () => {
    await using temporary = await temporaryDirectory();
    await using store = await openStore({ stateDir: temporary.path });
    const { path } = await store.views.build(record, directory({}), never);
    rmSync(path, { recursive: true });
    put(path);
    assert.equal(await store.views.find(record.key), undefined);
    await store.views.build(record, directory({ l: symlink('a') }), never);
    assert.deepEqual(readdirSync(path), ['l']);
    assert.ok(existsSync('/etc/passwd'));
  });
}

test('a changed owner of a directory or symlink changes the shape of a view', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const tree = directory({ d: directory({}), l: symlink('a') });
  const { path, key } = await store.views.build(record, tree, never);
  for (const name of ['d', 'l']) {
    assert.equal(await store.views.isAsBuilt(key, never), true);
    lchownSync(join(path, name), 7, 8);
    assert.equal(await store.views.isAsBuilt(key, never), false);
    lchownSync(join(path, name), 0, 0);
    assert.equal((await store.views.compare(key, tree, never))?.problem, undefined);
  }
});

test('a view is doubted and compared also where its shape can neither be removed nor written', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const tree = directory({ d: directory({}) });
  const { path, key } = await store.views.build(record, tree, never);
  const shape = `${path}.shape`;
  runProgram('mount', '--bind', shape, shape);
  try {
    store.views.distrust(key);
    assert.equal(await store.views.isAsBuilt(key, never), false);
    assert.equal((await store.views.compare(key, tree, never))?.problem, undefined);
    assert.equal(await store.views.isAsBuilt(key, never), false);
  } finally {
    runProgram('umount', shape);
  }
  assert.equal((await store.views.compare(key, tree, never))?.problem, undefined);
  assert.equal(await store.views.isAsBuilt(key, never), true);
});

test('a removed view leaves its blobs', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const a = await putFile(store.blobs, 'a');
  const { path } = await store.views.build(
    record,
    directory({ a, d: directory({ a }), l: symlink('/etc') }),
    never,
  );
  await store.views.remove(record.key);
  await store.views.remove(record.key);
  assert.equal(existsSync(path), false);
  assert.equal(existsSync(`${path}.json`), false);
  assert.equal(await store.views.find(record.key), undefined);
  assert.equal((await store.blobs.list()).length, 1);
  assert.equal(statSync('/etc').isDirectory(), true);
});

test('a key that is not a plain file name is refused', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  for (const key of ['', '..', '../blobs', 'a/b', '.hidden', 'a.json', 'x'.repeat(129)]) {
    await assert.rejects(store.views.find(key), { code: 'internal' }, key);
    await assert.rejects(
      store.views.build({ ...record, key }, directory({}), never),
      { code: 'internal' },
      key,
    );
    await assert.rejects(store.views.remove(key), { code: 'internal' }, key);
  }
});

for (const options of ['size=64k', 'size=8m,nr_inodes=60']) {
  test(`a disk filled by a view (${options}) refuses it as exhausted, and the space is released`, async () => {
    await using temporary = await temporaryDirectory();
    await using store = await openStore({ stateDir: mountTmpfs(join(temporary.path, 'disk'), options) });
    const { usedBytes, usedInodes } = await store.disk.usage();
    const children = Array.from({ length: 200 }, (_, n) => [`d${n}`, symlink('x'.repeat(2000))] as const);
    await assert.rejects(store.views.build(record, directory(Object.fromEntries(children)), never), {
      code: 'exhausted',
      message: /^building the view of ghcr.io\/acme\/model:v1: /,
    });
    const after = await store.disk.usage();
    assert.deepEqual([after.usedBytes, after.usedInodes], [usedBytes, usedInodes]);
  });
}

test('a running deletion ends with the store, and continues at the next start', async () => {
  await using temporary = await temporaryDirectory();
  const stateDir = join(temporary.path, 'state');
  {
    await using store = await openStore({ stateDir });
    const a = await putFile(store.blobs, 'a');
    const tree = directory(Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`f${n}`, a])));
    await store.views.build(record, tree, never);
    const removal = store.views.remove(record.key);
    await sleep(10);
    await store[Symbol.asyncDispose]();
    await removal;
    assert.ok(readdirSync(join(stateDir, 'tmp')).length > 0);
  }
  truncateSync(join(stateDir, 'format'), 2);
  await using _store = await openStore({ stateDir });
  while (readdirSync(join(stateDir, 'tmp')).length > 0) await sleep(10);
});

test('content that a pod made immutable is shown by new views, and removed', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const file = await putFile(store.blobs, 'immutable');
  const tree = directory({ file });
  const first = await store.views.build(record, tree, never);
  for (const path of [join(first.path, 'file'), first.path]) execFileSync('chattr', ['+i', path]);
  const second = await store.views.build({ ...record, key: 'key-2' }, tree, never);
  assert.equal(readFileSync(join(second.path, 'file'), 'utf8'), 'immutable');
  execFileSync('chattr', ['+i', join(first.path, 'file')]);
  for (const { key } of [first, second]) await store.views.remove(key);
  await store.blobs.remove(file.source.digest);
  assert.equal(existsSync(store.blobs.path(file.source.digest)), false);
  assert.deepEqual(readdirSync(join(temporary.path, 'tmp')), []);
});
