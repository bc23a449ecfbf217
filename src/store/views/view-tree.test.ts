import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { directory, plain, symlink } from '../../../test/support/oci/nodes.ts';
import { placeOfBody, writeToc } from '../../../test/support/oci/toc.ts';
import { putFile, viewRecord as record } from '../../../test/support/oci/view-sample.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { getXattr, setXattr } from '../../linux/xattr.ts';
import type { Digest } from '../../oci/digest.ts';
import type { EntryAttributes } from '../../tree/toc.ts';
import { blobAttributes, type DirectoryNode, type FileNode } from '../../tree/tree.ts';
import { decodeName } from '../../util/name.ts';
import { openStore } from '../store.ts';
import { openLinks } from './view-tree.ts';

const never = new AbortController().signal;
const layer = 'layer 0';

test('a view has every node of the tree, and its files are the inodes of the store', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const digest = record.layers[0] as Digest;
  {
    await using stage = await store.layers.stage(digest);
    writeFileSync(placeOfBody(stage.path, 0), 'body');
    chownSync(placeOfBody(stage.path, 0), 5, 6);
    await stage.commit(writeToc(stage.path, { digest, diffId: digest, notes: [], entries: [] }));
  }
  const model = await putFile(store.blobs, 'model');
  const body: FileNode = {
    kind: 'file',
    source: { kind: 'bodies', digest },
    body: 0,
    size: 4,
    attributes: blobAttributes,
    layer,
  };
  const tree = directory({
    model,
    same: model,
    deep: directory(
      { er: directory({ body, up: symlink('../../model') }) },
      { ...plain, mode: 0o555, uid: 7, gid: 8 },
    ),
  });
  const view = await store.views.build(record, tree, never);
  const at = (path: string): string => join(view.path, path);

  assert.equal(view.path, join(temporary.path, 'views/key-1'));
  assert.equal(readFileSync(at('model'), 'utf8'), 'model');
  assert.equal(statSync(at('same')).ino, statSync(at('model')).ino);
  if (model.source.kind === 'blob') {
    assert.equal(statSync(at('model')).ino, statSync(store.blobs.path(model.source.digest)).ino);
  }
  const stats = statSync(at('deep/er/body'));
  assert.deepEqual([stats.uid, stats.gid, stats.ino], [5, 6, statSync(store.layers.bodyPath(digest, 0)).ino]);
  assert.equal(readFileSync(at('deep/er/up'), 'utf8'), 'model');
  const deep = statSync(at('deep'), { bigint: true });
  assert.deepEqual([deep.mode & 0o7777n, deep.uid, deep.gid, deep.mtimeNs], [0o555n, 7n, 8n, plain.mtime]);
  assert.deepEqual(readdirSync(join(temporary.path, 'tmp')), []);
});

test('directories and symlinks have the owner, mode, time and attributes of the tree', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const old: EntryAttributes = {
    mode: 0o1750,
    uid: 12,
    gid: 34,
    mtime: -5_000_000_001n,
    xattrs: { 'user.a': 'b\xff' },
  };
  const tree = directory({ d: directory({ e: directory({}) }, old), l: symlink('nowhere', old) });
  const { path } = await store.views.build(record, tree, never);
  const d = statSync(join(path, 'd'), { bigint: true });
  assert.deepEqual([d.mode & 0o7777n, d.uid, d.gid, d.mtimeNs], [0o1750n, 12n, 34n, old.mtime]);
  const fd = openSync(join(path, 'd'), 'r');
  assert.deepEqual(Buffer.from(getXattr(fd, 'user.a') ?? []), Buffer.from('b\xff', 'latin1'));
  const l = lstatSync(join(path, 'l'), { bigint: true });
  assert.deepEqual([l.uid, l.gid, l.mtimeNs], [12n, 34n, old.mtime]);
  assert.equal(statSync(path, { bigint: true }).mtimeNs, plain.mtime);
});

test('names and targets that are not UTF-8 keep their bytes', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const raw = Buffer.from([0x66, 0xff, 0x80, 0xc3, 0xa9]);
  const name = decodeName(raw);
  const tree = directory({
    [name]: directory({ [name]: await putFile(store.blobs, 'x'), link: symlink(name) }),
  });
  const { path } = await store.views.build(record, tree, never);
  const outer = Buffer.concat([Buffer.from(`${path}/`), raw]);
  assert.deepEqual(readdirSync(path, { encoding: 'buffer' }), [raw]);
  assert.equal(readFileSync(Buffer.concat([outer, Buffer.from('/'), raw]), 'utf8'), 'x');
  assert.deepEqual(readlinkSync(Buffer.concat([outer, Buffer.from('/link')]), { encoding: 'buffer' }), raw);
  await store.views.remove(record.key);
  assert.deepEqual(readdirSync(join(temporary.path, 'tmp')), []);
});

test('a file that the cache lost is named, and nothing incomplete is left', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const digest = record.blobs[0] as Digest;
  const lost: FileNode = {
    kind: 'file',
    source: { kind: 'blob', digest },
    body: 0,
    size: 1,
    attributes: blobAttributes,
    layer,
  };
  await assert.rejects(store.views.build(record, directory({ d: directory({ lost }) }), never), {
    code: 'corrupt',
    message: `layer 0: "/d/lost": the cache lost bytes of ${digest}; run \`fsck --repair\` on the node, then mount it again`,
  });
  assert.deepEqual(readdirSync(join(temporary.path, 'tmp')), []);
  assert.deepEqual(readdirSync(join(temporary.path, 'views')), []);
});

test('a path too long for the state directory is an error of the artifact', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const deep = Array.from({ length: 20 }).reduce<DirectoryNode>(
    node => directory({ ['x'.repeat(250)]: node }),
    directory({}),
  );
  await assert.rejects(store.views.build(record, deep, never), {
    code: 'unmountable',
    message: /too long a path/,
  });
  assert.deepEqual(readdirSync(join(temporary.path, 'tmp')), []);
});

test('a file with the maximum of links is copied once, with mode, owner, time and attributes, and the next names are links again', async () => {
  await using temporary = await temporaryDirectory();
  await using store = await openStore({ stateDir: temporary.path });
  const digest = record.layers[0] as Digest;
  const content = randomBytes(3000);
  {
    await using stage = await store.layers.stage(digest);
    writeFileSync(placeOfBody(stage.path, 0), content, { mode: 0o640 });
    chownSync(placeOfBody(stage.path, 0), 21, 22);
    const fd = openSync(placeOfBody(stage.path, 0), 'r');
    setXattr(fd, 'user.note', Buffer.from('kept'));
    setXattr(fd, 'trusted.note', Buffer.from('dropped'));
    utimesSync(placeOfBody(stage.path, 0), 1000, 1000);
    await stage.commit(writeToc(stage.path, { digest, diffId: digest, notes: [], entries: [] }));
  }
  const body = store.layers.bodyPath(digest, 0);
  const links = join(temporary.path, 'links');
  mkdirSync(links);
  for (let n = 0; n < 65_000 - 2; n++) linkSync(body, join(links, String(n)));
  const node: FileNode = {
    kind: 'file',
    source: { kind: 'bodies', digest },
    body: 0,
    size: 3000,
    attributes: blobAttributes,
    layer,
  };
  const full = statSync(body).ino;
  const tree = directory({ last: node, copied: node, next: node });
  const { path } = await store.views.build(record, tree, never);

  assert.equal(statSync(join(path, 'last')).ino, full);
  const copy = statSync(join(path, 'copied'));
  assert.notEqual(copy.ino, full);
  assert.equal(statSync(join(path, 'next')).ino, copy.ino);
  assert.equal(statSync(body).ino, copy.ino, 'the cache has the one with links to spare');
  assert.deepEqual(readFileSync(join(path, 'copied')), content);
  assert.deepEqual([copy.mode & 0o7777, copy.uid, copy.gid, copy.mtimeMs], [0o640, 21, 22, 1_000_000]);
  const fd = openSync(join(path, 'copied'), 'r');
  assert.equal(Buffer.from(getXattr(fd, 'user.note') ?? []).toString(), 'kept');
  assert.equal(getXattr(fd, 'trusted.note'), undefined);
});

/** `count` files, and the links `at/0`, `at/1` … to make of them. */
async function prepareLinks(count: number) {
  const directory = await temporaryDirectory();
  const [from, at] = [join(directory.path, 'from'), join(directory.path, 'at')];
  mkdirSync(from);
  mkdirSync(at);
  const links = Array.from({ length: count }, (_, of) => ({ of, from: `${from}/${of}`, at: `${at}/${of}` }));
  for (const { from: path } of links) writeFileSync(path, '');
  return { directory, links };
}

// More than 4,096 are worth a second thread.
for (const count of [0, 1, 256, 7_000]) {
  test(`each link is its file, for ${count} of them`, async () => {
    const { directory, links } = await prepareLinks(count);
    await using _ = directory;
    await using made = openLinks<number>();
    for (const link of links) {
      made.add(link);
      if (link.of % 1000 === 0) await new Promise(setImmediate);
    }
    assert.deepEqual(await made.finish(), []);
    assert.equal(readdirSync(join(directory.path, 'at')).length, count);
    for (const { from, at } of links) assert.equal(statSync(at).ino, statSync(from).ino);
  });
}

test('failed links are reported from both threads, and the others exist', async () => {
  const { directory, links } = await prepareLinks(8_000);
  await using _ = directory;
  await using made = openLinks<number>();
  const bad = new Set([0, 300, 5000, 6001, 7345, 7_999]);
  for (const { of, from, at } of links) {
    if (of === 300) linkSync(from, at);
    made.add({ of, from: bad.has(of) && of !== 300 ? `${from}.absent` : from, at });
    if (of % 1000 === 0) await new Promise(setImmediate);
  }
  const failed = await made.finish();
  assert.deepEqual(new Set(failed.map(({ of }) => of)), bad);
  assert.equal(readdirSync(join(directory.path, 'at')).length, 8_000 - (bad.size - 1));
});

test('names that are not UTF-8 keep their bytes in the second thread, too', async () => {
  const { directory, links } = await prepareLinks(7_000);
  await using _ = directory;
  await using made = openLinks<number>();
  for (const { of, from, at } of links) {
    const odd = decodeName(Buffer.concat([Buffer.from(`${at}-`), Buffer.of(0xff, 0xe4)]));
    made.add({ of, from, at: odd });
    if (of % 1000 === 0) await new Promise(setImmediate);
  }
  assert.deepEqual(await made.finish(), []);
  const names = readdirSync(join(directory.path, 'at'), { encoding: 'buffer' });
  assert.equal(names.length, 7_000);
  for (const name of names) assert.deepEqual([...name.subarray(-2)], [0xff, 0xe4]);
});
