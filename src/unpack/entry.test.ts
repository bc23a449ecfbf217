import assert from 'node:assert/strict';
import { closeSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { paxEntry, rawTar } from '../../test/support/oci/raw-tar.ts';
import { small } from '../../test/support/oci/small-tar.ts';
import { openUnpacking, showToc } from '../../test/support/oci/unpacking.ts';
import { encodeXattrs } from '../erofs/format.ts';
import { getXattr } from '../linux/xattr.ts';
import { bodyName, tocName } from '../tree/layer-files.ts';

const { unpack, label } = await openUnpacking();

test('bodies have owner, mode and time of the tar; setuid and setgid are cleared', async () => {
  const { entries, into } = await unpack(small);
  const [directory, file, empty] = entries;
  assert.deepEqual(directory, {
    kind: 'directory',
    path: 'd/',
    mode: 0o750,
    uid: 7,
    gid: 8,
    mtime: 5_000_000_000n,
  });
  assert.ok(file?.kind === 'file' && empty?.kind === 'file');
  assert.equal(file.mode, 0o755);
  assert.equal(empty.mode, 0o1600);
  const stat = statSync(join(into, bodyName(0)));
  assert.deepEqual(
    [stat.uid, stat.gid, stat.mtimeMs, stat.mode & 0o7777],
    [1000, 1001, 1_700_000_000_000, 0o755],
  );
  assert.equal(statSync(join(into, bodyName(1))).mode & 0o7777, 0o1600);
});

const latin1Path = Buffer.from('caf\xe9/\xff', 'latin1');
for (const [name, tar, shown] of [
  ['names that are not UTF-8', rawTar({ name: 'caf\xe9' }), ['caf\udce9: ']],
  ['UTF-8 in a header', rawTar({ name: Buffer.from('é').toString('latin1') }), ['é: ']],
  ['PAX names that are not UTF-8', rawTar(paxEntry({ path: latin1Path }), {}), ['caf\udce9/\udcff: ']],
  ['PAX names in UTF-8', rawTar(paxEntry({ path: Buffer.from('日本') }), {}), ['日本: ']],
  [
    'a PAX target',
    rawTar(paxEntry({ linkpath: latin1Path }), { name: 'l', type: '2', linkname: 'x' }),
    ['l -> caf\udce9/\udcff'],
  ],
  ['an empty PAX path is none', rawTar(paxEntry({ path: '' }), { name: 'n' }), ['n: ']],
  [
    'a GNU long name',
    rawTar({ type: 'L', name: '././@LongLink', body: `${'n/'.repeat(100)}\xe9\0` }, { name: 'n/n' }),
    [`${'n/'.repeat(100)}\udce9: `],
  ],
  [
    'a GNU long target',
    rawTar({ type: 'K', body: `${'t/'.repeat(100)}\0` }, { name: 'l', type: '1' }),
    [`l = ${'t/'.repeat(100)}`],
  ],
  [
    'PAX and a GNU long name, which counts more',
    rawTar({ type: 'L', body: 'long\0' }, paxEntry({ path: 'pax' }), {}),
    ['long: '],
  ],
  ['the later of two PAX headers', rawTar(paxEntry({ path: 'a' }), paxEntry({ path: 'b' }), {}), ['b: ']],
  [
    'an earlier PAX header is forgotten',
    rawTar(paxEntry({ path: 'a' }), paxEntry({ uid: '5' }), { name: 'n' }),
    ['n: '],
  ],
  [
    "git's global header",
    rawTar(paxEntry({ comment: 'a'.repeat(40) }, 'g'), { name: 'f', body: 'x' }),
    ['f: x'],
  ],
  ['a global header of nothing', rawTar(paxEntry({}, 'g'), { name: 'f', body: 'x' }), ['f: x']],
  ['a global header alone', rawTar(paxEntry({ comment: 'a' }, 'g')), []],
  ['a global header last', rawTar({ name: 'f', body: 'x' }, paxEntry({ comment: 'a' }, 'g')), ['f: x']],
  ['a global path, which is for no file', rawTar(paxEntry({ path: 'x' }, 'g'), { name: 'f' }), ['f: ']],
  ['a PAX header of nothing', rawTar(paxEntry({}), { name: 'f', body: 'x' }), ['f: x']],
  ['a ustar prefix', rawTar({ name: 'n', prefix: 'p/q' }), ['p/q/n: ']],
  [
    'a GNU header has times in place of a prefix',
    rawTar({ name: 'n', prefix: '15123456', magic: 'ustar  \0' }),
    ['n: '],
  ],
  [
    'a GNU header of old Go has a prefix all the same',
    rawTar({ name: 'n', prefix: 'a/path/that/is/no/time', magic: 'ustar  \0' }),
    ['a/path/that/is/no/time/n: '],
  ],
  [
    'the oldest format',
    rawTar(
      { name: 'n', magic: '', type: '\0', body: 'x', prefix: 'none' },
      { name: 'd/', magic: '', type: '\0', size: 5 },
    ),
    ['n: x', 'd/ (directory)'],
  ],
  [
    'sizes of links and devices, which have no data',
    rawTar(
      { name: 'h', type: '1', linkname: 'f', size: 5 },
      { name: 's', type: '2', linkname: 'f', size: 1 },
      { name: 'c', type: '3', size: 600 },
      paxEntry({ size: '7' }),
      { name: 'p', type: '6' },
      { name: 'z', body: 'z' },
    ),
    ['h = f', 's -> f', 'c (character device)', 'p (FIFO)', 'z: z'],
  ],
  [
    'a size of a directory, which is for quotas',
    rawTar({ name: 'd', type: '5', size: 600 }, { name: 'n', body: 'x' }),
    ['d (directory)', 'n: x'],
  ],
  ['a contiguous file', rawTar({ name: 'n', type: '7', body: 'x' }), ['n: x']],
  [
    'a size in base 256',
    rawTar({ name: 'n', body: 'abc', size: '\x80' + '\0'.repeat(10) + '\x03' }),
    ['n: abc'],
  ],
  ['a PAX size', rawTar(paxEntry({ size: '3' }), { name: 'n', body: 'abc', size: 0 }), ['n: abc']],
  [
    'special entries are told, not judged',
    rawTar({ name: 'c', type: '3' }, { name: 'b', type: '4' }, { name: 'p', type: '6' }),
    ['c (character device)', 'b (block device)', 'p (FIFO)'],
  ],
  [
    'paths that lead out are told, not judged',
    rawTar({ name: '../../evil', body: 'x' }, { name: '/etc/passwd', body: 'y' }),
    ['../../evil: x', '/etc/passwd: y'],
  ],
  [
    'the same path twice has two bodies',
    rawTar({ name: 'f', body: 'x' }, { name: 'f', body: 'y' }),
    ['f: x', 'f: y'],
  ],
] as const) {
  test(`an entry is parsed: ${name}`, async () => assert.deepEqual(showToc(await unpack(tar)), shown));
}

test('PAX gives owners and times that ustar cannot: large, and with fractions', async () => {
  const records = { uid: '3000000000', gid: '4000000', mtime: '1700000000.1234567891' };
  const { entries, into } = await unpack(rawTar(paxEntry(records), { name: 'f', body: 'x' }));
  const [file] = entries;
  assert.ok(file?.kind === 'file');
  assert.deepEqual([file.uid, file.gid, file.mtime], [3_000_000_000, 4_000_000, 1_700_000_000_123_456_789n]);
  const stat = statSync(join(into, bodyName(0)), { bigint: true });
  assert.deepEqual([stat.uid, stat.gid, stat.mtimeNs], [3_000_000_000n, 4_000_000n, file.mtime]);
});

test('a file may be older than 1970', async () => {
  const mtime = '-86400.5';
  const { into } = await unpack(rawTar(paxEntry({ mtime }), { name: 'f', body: 'x' }));
  assert.equal(statSync(join(into, bodyName(0)), { bigint: true }).mtimeNs, -86_400_500_000_000n);
});

test('a time outside the range of filesystems becomes the nearest one inside', async () => {
  const { entries } = await unpack(
    rawTar(
      paxEntry({ mtime: '1e9' }),
      { name: 'a' },
      paxEntry({ mtime: `9${'0'.repeat(30)}` }),
      { name: 'b' },
      paxEntry({ mtime: `-9${'0'.repeat(30)}` }),
      { name: 'c' },
    ),
  );
  assert.deepEqual(
    entries.map(entry => ('mtime' in entry ? entry.mtime : undefined)),
    [0n, (2n ** 34n - 1n) * 1_000_000_000n, -(2n ** 31n) * 1_000_000_000n],
  );
});

test('user attributes are kept, with all bytes; the others are omitted with one log message', async () => {
  const value = Buffer.from([0, 0xff, 0x0a, 0x3d]);
  const records = {
    'SCHILY.xattr.user.a': value,
    'SCHILY.xattr.security.capability': value,
    'SCHILY.xattr.trusted.overlay.opaque': 'y',
    'SCHILY.acl.access': 'user::rw-',
  };
  const toc = await unpack(
    rawTar(
      paxEntry(records),
      { name: 'f', body: 'x' },
      paxEntry(records),
      { name: 'd', type: '5' },
      paxEntry(records),
      { name: 's', type: '2', linkname: 'f' },
    ),
  );
  const xattrs = { 'user.a': value.toString('latin1') };
  assert.deepEqual(
    toc.entries.map(entry => ('xattrs' in entry ? entry.xattrs : undefined)),
    [xattrs, xattrs, undefined],
  );
  const fd = openSync(join(toc.into, bodyName(0)), 'r');
  assert.deepEqual([...(getXattr(fd, 'user.a') ?? [])], [...value]);
  assert.equal(getXattr(fd, 'security.capability'), undefined);
  closeSync(fd);
  assert.deepEqual(toc.notes, [
    `${label}: left out attributes of entries: "security.capability" of 2, "trusted.overlay.opaque" of 2, "SCHILY.acl.access" of 2`,
  ]);
});

test('an attribute that the filesystem cannot store is omitted with a log message', async () => {
  const toc = await unpack(
    rawTar(paxEntry({ 'SCHILY.xattr.user.big': 'x'.repeat(70_000) }), { name: 'f', body: 'x' }),
  );
  assert.deepEqual(toc.notes, [`${label}: left out attributes of entries: "user.big" of 1`]);
});

/** The attributes of a directory, which no filesystem has to store. */
async function unpackDirectory(records: Readonly<Record<string, string>>) {
  const pax = Object.entries(records).map(([name, value]) => [`SCHILY.xattr.${name}`, value] as const);
  const toc = await unpack(rawTar(paxEntry(Object.fromEntries(pax)), { name: 'd', type: '5' }));
  const [entry] = toc.entries;
  assert.ok(entry?.kind === 'directory');
  const { xattrs = {} } = entry;
  return { xattrs, kept: Object.keys(xattrs), notes: toc.notes, into: toc.into };
}

test('an attribute with a name or a value that an image cannot have is omitted with a log message', async () => {
  const [longest, longer] = [`user.${'n'.repeat(250)}`, `user.${'m'.repeat(251)}`];
  const { kept, notes } = await unpackDirectory({
    'user.fits': 'x'.repeat(65_535),
    'user.big': 'x'.repeat(65_536),
    'user.': 'x',
    [longest]: 'x',
    [longer]: 'x',
  });
  assert.deepEqual(kept, ['user.fits', longest]);
  assert.deepEqual(notes, [
    `${label}: left out attributes of entries: "user.big" of 1, "user." of 1, "${longer.slice(0, 200)}…" of 1`,
  ]);
});

test('attributes of an entry that have more bytes together than an image can hold are omitted', async () => {
  const names = Array.from({ length: 60 }, (_, n) => `user.${n}`);
  const { kept, notes, into } = await unpackDirectory(
    Object.fromEntries(names.map(name => [name, '\x01'.repeat(60_000)])),
  );
  assert.deepEqual(kept, names.slice(0, 4));
  assert.match(notes[0] ?? '', /"user\.4" of 1.* and 51 more$/);
  assert.ok(statSync(join(into, tocName)).size < 2 * 1024 * 1024);
});

test('an image holds all attributes that are kept, as many as they are', async () => {
  const names = Array.from({ length: 22_000 }, (_, n) => `user.${(n + 36 ** 2).toString(36)}`);
  const { xattrs, kept, notes } = await unpackDirectory(Object.fromEntries(names.map(name => [name, 'xx'])));
  assert.equal(kept.length, 21_844);
  assert.equal(encodeXattrs(xattrs).length, 12 + 12 * kept.length);
  assert.match(notes[0] ?? '', /and 1\d\d more$/);
});

test('many names of omitted attributes are one short log message', async () => {
  const names = Array.from({ length: 1_100 }, (_, n) => `trusted.${n}.${'n'.repeat(300)}`);
  const { notes } = await unpackDirectory(Object.fromEntries(names.map(name => [name, 'x'])));
  assert.match(notes[0] ?? '', /"trusted\.0\.n{190}…" of 1, .* and at least 995 more$/);
});

for (const [what, record, entry] of [
  ['path', 'path', { name: 'f' }],
  ['target', 'linkpath', { name: 'l', type: '2' }],
] as const) {
  test(`an entry with a ${what} of more than 65,536 characters is refused`, async () => {
    const tar = (length: number) => rawTar(paxEntry({ [record]: 'p/'.repeat(length / 2) }), entry);
    await unpack(tar(65_536));
    await assert.rejects(unpack(tar(65_538)), {
      code: 'unmountable',
      message: new RegExp(`, entry "(?:p/)*p?…?l?": a ${what} of more than 65536 characters$`),
    });
  });
}
