import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { cpuTime } from '../../../test/support/os/cpu-time.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { toDigest } from '../../oci/digest.ts';
import type { NameRecord, PinRecord, VolumeRecord } from '../../ports/records.ts';
import { openStore } from '../store.ts';

const digest = toDigest('sha256', 'ab'.repeat(32));
const manifest = toDigest('sha512', 'cd'.repeat(64));

const volume: VolumeRecord = {
  volumeId: 'csi-1',
  targetPath: '/var/lib/kubelet/pods/1/volumes/kubernetes.io~csi/model/mount',
  fingerprint: '{"reference":"model"}',
  anywhere: false,
  reference: 'model',
  resolved: 'ghcr.io/acme/model:latest',
  digest,
  manifest,
  view: 'key',
  bytes: 1,
  inodes: 2,
  holds: [digest, manifest],
  pod: { namespace: 'default', name: 'pod', uid: '1', serviceAccount: 'robot' },
  publishedAt: 3,
};
const name: NameRecord = {
  reference: 'ghcr.io/acme/model:latest',
  descriptor: {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest,
    size: 10,
    annotations: { a: 'b' },
    artifactType: 'model',
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  },
  resolvedAt: 4,
  authorised: 'credential',
  holds: [digest],
  usedAt: 1_700_000_000_123,
};
const pin: PinRecord = { reference: name.reference, digest, pinnedAt: 5, holds: [digest] };

test('a record is found unchanged, by its own key alone', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await store.volumes.put(volume);
  await store.names.put(name);
  await store.pins.put(pin);
  assert.deepEqual(await store.volumes.find(volume.targetPath), volume);
  assert.deepEqual(await store.volumes.find('/elsewhere'), undefined);
  assert.deepEqual(await store.names.find(name.reference), name);
  assert.deepEqual(await store.volumes.list(), [volume]);
  assert.deepEqual(await store.names.list(), [name]);
  assert.deepEqual(await store.pins.list(), [pin]);
});

test('a record whose file was changed in place is read again', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await store.volumes.put(volume);
  assert.deepEqual(await store.volumes.find(volume.targetPath), volume);
  const path = join(directory.path, 'volumes', readdirSync(join(directory.path, 'volumes'))[0] ?? '');
  writeFileSync(path, JSON.stringify({ ...volume, publishedAt: 4 }));
  assert.equal((await store.volumes.find(volume.targetPath))?.publishedAt, 4);
  rmSync(path);
  assert.equal(await store.volumes.find(volume.targetPath), undefined);
});

test('a record that cannot be written leaves no file', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const unwritable = { ...volume, volumeId: { toJSON: () => assert.fail('unwritable') } };
  await assert.rejects(store.volumes.put(unwritable as unknown as VolumeRecord));
  assert.deepEqual(readdirSync(join(directory.path, 'volumes')), []);
});

test('optional fields stay absent', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const { pod: _, ...bare } = volume;
  await store.volumes.put(bare);
  assert.deepEqual(await store.volumes.find(volume.targetPath), bare);
  const { artifactType: _type, platform: _platform, ...descriptor } = name.descriptor;
  await store.names.put({ ...name, descriptor });
  assert.deepEqual(await store.names.find(name.reference), { ...name, descriptor });
});

test('records persist when the store is reopened', async () => {
  await using directory = await temporaryDirectory();
  {
    await using store = await openStore({ stateDir: directory.path });
    await store.volumes.put(volume);
    await store.pins.put(pin);
  }
  await using store = await openStore({ stateDir: directory.path });
  assert.deepEqual(await store.volumes.list(), [volume]);
  assert.deepEqual(await store.pins.list(), [pin]);
});

test('a name that is used keeps its record, and its time persists when the store is reopened', async () => {
  await using directory = await temporaryDirectory();
  {
    await using store = await openStore({ stateDir: directory.path });
    await store.names.put(name);
    await store.names.touch('ghcr.io/acme/absent:1');
    const before = Date.now();
    await store.names.touch(name.reference);
    const { usedAt, ...rest } = (await store.names.find(name.reference)) ?? assert.fail();
    assert.ok(usedAt >= before && usedAt <= Date.now(), `${usedAt}`);
    assert.deepEqual({ ...rest, usedAt: name.usedAt }, name);
    await store.names.put({ ...name, usedAt: 7_000 });
  }
  await using store = await openStore({ stateDir: directory.path });
  assert.deepEqual(await store.names.list(), [{ ...name, usedAt: 7_000 }]);
});

test('records of an older version, which had no list of digests, have an empty one', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const old = { ...volume, holds: undefined };
  await store.volumes.put(old as unknown as VolumeRecord);
  assert.deepEqual(await store.volumes.list(), [{ ...volume, holds: [] }]);
});

test('a put replaces, and a remove is idempotent', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await store.volumes.put(volume);
  await store.volumes.put({ ...volume, publishedAt: 99 });
  assert.equal((await store.volumes.find(volume.targetPath))?.publishedAt, 99);
  await store.volumes.remove(volume.targetPath);
  await store.volumes.remove(volume.targetPath);
  assert.deepEqual(await store.volumes.list(), []);
  await store.pins.put(pin);
  await store.pins.remove(pin.reference);
  await store.pins.remove(pin.reference);
  assert.deepEqual(await store.pins.list(), []);
});

test('a record torn at any byte counts as absent, and can be put again', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await store.volumes.put(volume);
  const path = join(directory.path, 'volumes', readdirSync(join(directory.path, 'volumes'))[0] ?? '');
  for (let size = readFileSync(path).length - 1; size >= 0; size -= 7) {
    truncateSync(path, size);
    assert.equal(await store.volumes.find(volume.targetPath), undefined);
    assert.deepEqual(await store.volumes.list(), []);
  }
  await store.volumes.put(volume);
  assert.deepEqual(await store.volumes.list(), [volume]);
});

test('a record under the file name of another counts as absent', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await store.volumes.put(volume);
  const other = { ...volume, targetPath: '/other' };
  await store.volumes.put(other);
  const paths = readdirSync(join(directory.path, 'volumes')).map(file =>
    join(directory.path, 'volumes', file),
  );
  const [first = '', second = ''] = paths;
  copyFileSync(first, second);
  assert.equal((await store.volumes.list()).length, 1);
});

test('foreign files in the directory are ignored', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await store.names.put(name);
  writeFileSync(join(directory.path, 'names/README'), 'not ours');
  writeFileSync(join(directory.path, 'names/copy.json'), JSON.stringify(name));
  mkdirSync(join(directory.path, 'names/lost+found'));
  assert.deepEqual(await store.names.listAll(), [name]);
});

test('an access record of an older version is read, and nothing in it counts as served to anyone', async () => {
  await using directory = await temporaryDirectory();
  const callers = { anonymous: true, node: false, accounts: [], pods: [], secrets: [] };
  const access = { repository: 'ghcr.io/acme/model', ...callers, digests: [digest], mirrored: [manifest] };
  {
    await using store = await openStore({ stateDir: directory.path });
    await store.accesses.put({ ...access, open: [], loaded: [] });
  }
  const [file = ''] = readdirSync(join(directory.path, 'access'));
  const path = join(directory.path, 'access', file);
  for (const older of [access, { ...access, loaded: [digest] }]) {
    writeFileSync(path, JSON.stringify(older));
    await using store = await openStore({ stateDir: directory.path });
    assert.deepEqual(await store.accesses.list(), [{ loaded: [], ...older, open: [] }]);
  }
});

test('torn records are removed at the start, with a log message each, and foreign files stay', async () => {
  await using directory = await temporaryDirectory();
  const kinds = ['names', 'volumes', 'pins', 'access', 'signatures'];
  await (await openStore({ stateDir: directory.path }))[Symbol.asyncDispose]();
  const torn = kinds.map(kind => join(directory.path, kind, 'e'.repeat(64)));
  for (const path of torn) writeFileSync(path, '{"tor');
  writeFileSync(join(directory.path, 'pins/README'), 'not ours');
  const notes: string[] = [];
  const log = { warn: (_: object, text: string) => void notes.push(text) };
  await using _store = await openStore({ stateDir: directory.path, log });
  assert.deepEqual(
    kinds.map(kind => readdirSync(join(directory.path, kind))),
    [[], [], ['README'], [], []],
  );
  for (const path of torn)
    assert.ok(
      notes.some(note => note.startsWith(`${path} was incomplete`)),
      path,
    );
  assert.ok(notes.includes(`${torn[2]} was incomplete and is removed; the pin is lost`));
});

test('an unreadable record is reported once and skipped, but not by callers that need all of them', async () => {
  await using directory = await temporaryDirectory();
  const notes: string[] = [];
  const log = { warn: (_: object, text: string) => void notes.push(text) };
  await using store = await openStore({ stateDir: directory.path, log });
  await store.volumes.put(volume);
  const other = { ...volume, targetPath: '/other' };
  const [file = ''] = readdirSync(join(directory.path, 'volumes'));
  await store.volumes.put(other);
  const path = join(directory.path, 'volumes', file);
  rmSync(path);
  mkdirSync(path);
  assert.equal(await store.volumes.find(volume.targetPath), undefined);
  assert.deepEqual(await store.volumes.list(), [other]);
  await store.volumes.list();
  assert.deepEqual(notes, [`${path}, a volume record, cannot be read (DIRECTORY) and is skipped`]);
  await assert.rejects(store.volumes.listAll(), {
    code: 'internal',
    message: new RegExp(`^${path}, a volume record, cannot be read .DIRECTORY.*, or remove that file`),
  });
  await store.volumes.remove(volume.targetPath);
  assert.deepEqual(await store.volumes.listAll(), [other]);
});

test('a record with any field missing or foreign counts as absent', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const optional = new Set(['pod', 'serviceAccount', 'artifactType', 'platform', 'variant']);
  for (const [kind, record, find] of [
    ['volumes', volume, () => store.volumes.find(volume.targetPath)],
    ['names', name, () => store.names.find(name.reference)],
  ] as const) {
    await (kind === 'volumes' ? store.volumes.put(volume) : store.names.put(name));
    const path = join(directory.path, kind, readdirSync(join(directory.path, kind))[0] ?? '');
    for (const [keys, value] of fieldsOf(record)) {
      for (const wrong of [undefined, null, -1, true === value ? 'true' : [value], 'sha256:short']) {
        const text = JSON.stringify(replaced(record, keys, wrong));
        writeFileSync(path, text);
        const found = await find();
        if (keys[0] === 'usedAt' || (keys[0] === 'holds' && wrong === undefined)) continue;
        const plainText = typeof value === 'string' && typeof wrong === 'string' && !value.includes(':ab');
        const harmless = (wrong === undefined && optional.has(keys.at(-1) ?? '')) || plainText;
        if (!harmless) assert.equal(found, undefined, text);
        if (found !== undefined)
          assert.partialDeepStrictEqual(found, { ...JSON.parse(text), ...timeOf(found) });
      }
    }
  }
});

/** A time that is stored as the mtime of the file, not in its text. */
function timeOf(record: object): object {
  return 'usedAt' in record ? { usedAt: record.usedAt } : {};
}

/** Every field of a record, including nested records, by the keys that lead there. */
function fieldsOf(record: object, above: readonly string[] = []): (readonly [readonly string[], unknown])[] {
  return Object.entries(record).flatMap(([key, value]: [string, unknown]) => {
    const keys = [...above, key];
    const inner = typeof value === 'object' && value !== null ? fieldsOf(value, keys) : [];
    return key === 'annotations' ? [[keys, value] as const] : [[keys, value] as const, ...inner];
  });
}

function replaced(record: object, [key = '', ...deeper]: readonly string[], value: unknown): object {
  const inner: unknown = Reflect.get(record, key);
  const nested = deeper.length > 0 && typeof inner === 'object' && inner !== null;
  return { ...record, [key]: nested ? replaced(inner, deeper, value) : value };
}

test('any target path has a record of its own', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const paths = fc.uniqueArray(fc.string({ unit: 'binary', minLength: 1 }), { minLength: 1, maxLength: 8 });
  const property = fc.asyncProperty(paths, async targetPaths => {
    for (const targetPath of targetPaths)
      await store.volumes.put({ ...volume, targetPath, reference: targetPath });
    for (const targetPath of targetPaths) {
      assert.equal((await store.volumes.find(targetPath))?.reference, targetPath);
    }
    assert.equal((await store.volumes.list()).length, targetPaths.length);
    for (const targetPath of targetPaths) await store.volumes.remove(targetPath);
  });
  await fc.assert(property, { numRuns: 10 });
});

test('a brief list follows every change, and reads no record again that has not changed', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const briefs = async () => (await store.volumes.listBrief()).toSorted((a, b) => a.bytes - b.bytes);
  const { holds: _, ...brief } = volume;
  const holds = Array.from({ length: 10_000 }, (__, nth) => toDigest('sha256', `${nth}`.padStart(64, '0')));
  for (let nth = 0; nth < 20; nth++) await store.volumes.put({ ...volume, targetPath: `/t/${nth}`, holds });
  assert.equal((await briefs()).length, 20);
  const before = cpuTime();
  const listed = await briefs();
  assert.ok(cpuTime() - before < 50, 'it costs as much as the first one');
  assert.ok(listed.every(one => !('holds' in one)));
  for (let nth = 0; nth < 20; nth++) await store.volumes.remove(`/t/${nth}`);
  await store.volumes.put(volume);
  assert.deepEqual(await briefs(), [brief]);
  await store.volumes.put({ ...volume, bytes: 7 });
  assert.deepEqual(await briefs(), [{ ...brief, bytes: 7 }]);
  await store.volumes.remove(volume.targetPath);
  assert.deepEqual(await briefs(), []);
});
