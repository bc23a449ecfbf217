import assert from 'node:assert/strict';
import { fchmodSync, readdirSync, readFileSync, readlinkSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type TemporaryDirectory, temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { toDigest } from '../../oci/digest.ts';
import type { Item } from '../../ports/store.ts';
import { type FilesOf, openEvidence } from './evidence.ts';
import { openVerity } from './verity.ts';

const never = new AbortController().signal;
const item: Item = { kind: 'layers', digest: toDigest('sha256', 'ab'.repeat(32)) };

type Answer = 'sealed' | 'ENOTTY' | 'EOPNOTSUPP' | 'ETXTBSY' | 'EBUSY' | 'EEXIST' | 'ENOSPC';

/** A layer of two files on a kernel that gives these answers, one per file. After the last one, it seals. */
async function openWorld(directory: TemporaryDirectory, ...answers: Answer[]) {
  const files = ['0', '1'].map(name => [directory.path, name] as const);
  for (const [, name] of files) writeFileSync(join(directory.path, name), name);
  const filesOf: FilesOf = asked => (asked === item ? { count: files.length, files } : undefined);
  const journal = { lines: new Map(), closed: true, put() {}, close: async () => undefined };
  const evidence = openEvidence(journal, filesOf);
  const asked: string[] = [];
  const enable = async (fd: number): Promise<void> => {
    const flags = /^flags:\s*0?(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '';
    assert.equal(Number.parseInt(flags, 8) & 3, 0, 'it is open for reading alone');
    asked.push(readlinkSync(`/proc/self/fd/${fd}`).slice(directory.path.length + 1));
    const answer = answers.shift() ?? 'sealed';
    if (answer !== 'sealed') throw Object.assign(new Error(answer), { code: answer });
    await sleep(10); // the kernel's clock has a granularity
    fchmodSync(fd, 0o644); // the same mode, and yet a change of the inode, as with sealing
  };
  const scratch = { isClosed: false, fresh: () => join(directory.path, 'probe') };
  const verity = await openVerity(scratch, evidence, filesOf, enable);
  assert.deepEqual(asked.splice(0), ['probe']);
  assert.deepEqual(readdirSync(directory.path), ['0', '1'], 'the file that it was tried with is gone');
  return { verity, evidence, asked };
}

for (const reason of ['ENOTTY', 'EOPNOTSUPP'] as const) {
  test(`if the kernel answers ${reason}, it is off and reports that, and nothing is sealed`, async () => {
    await using directory = await temporaryDirectory();
    const { verity, asked } = await openWorld(directory, reason);
    assert.equal(verity.off, reason);
    await verity.seal(item, never);
    assert.deepEqual(asked, []);
  });
}

test('each file of an item is sealed once, and what was verified before still counts', async () => {
  await using directory = await temporaryDirectory();
  const { verity, evidence, asked } = await openWorld(directory);
  assert.equal(verity.off, undefined);
  await evidence.verify(item, async () => undefined, never);
  await verity.seal(item, never);
  await verity.seal(item, never);
  assert.deepEqual(asked, ['0', '1']);
  assert.deepEqual(await evidence.states([item], 1, never), ['verified']);
});

test('a file that is already sealed is success, and the next one is sealed', async () => {
  await using directory = await temporaryDirectory();
  const { verity, asked } = await openWorld(directory, 'sealed', 'EEXIST');
  await verity.seal(item, never);
  assert.deepEqual(asked, ['0', '1']);
});

for (const reason of ['ETXTBSY', 'EBUSY'] as const) {
  test(`a file that is busy (${reason}) is sealed by the next call`, async () => {
    await using directory = await temporaryDirectory();
    const { verity, asked } = await openWorld(directory, 'sealed', reason);
    await verity.seal(item, never);
    assert.deepEqual(asked.splice(0), ['0']);
    await verity.seal(item, never);
    await verity.seal(item, never);
    assert.deepEqual(asked, ['0', '1']);
  });
}

test('another failure is reported once, and a file that replaces the first is sealed', async () => {
  await using directory = await temporaryDirectory();
  const { verity, asked } = await openWorld(directory, 'sealed', 'ENOSPC');
  await assert.rejects(verity.seal(item, never), { code: 'ENOSPC' });
  await verity.seal(item, never);
  assert.deepEqual(asked.splice(0), ['0']);
  writeFileSync(join(directory.path, '0.new'), 'right');
  renameSync(join(directory.path, '0.new'), join(directory.path, '0'));
  await verity.seal(item, never);
  assert.deepEqual(asked, ['0', '1']);
});

test('missing files are not sealed, and a read-only state directory is not tried', async () => {
  await using directory = await temporaryDirectory();
  const { verity, asked } = await openWorld(directory);
  await verity.seal({ kind: 'blobs', digest: item.digest }, never);
  assert.deepEqual(asked, []);
  const scratch = { isClosed: true, fresh: (): string => assert.fail('nothing is written') };
  const relink = async <T>(_: readonly Item[], work: () => Promise<T>): Promise<T> => work();
  const closed = await openVerity(scratch, { relink }, () => undefined);
  assert.match(closed.off ?? '', /only read/);
});

test('a seal that was aborted is tried again, and of many items only the latest are remembered', async () => {
  await using directory = await temporaryDirectory();
  writeFileSync(join(directory.path, '0'), '');
  const filesOf: FilesOf = () => ({ count: 1, files: [[directory.path, '0']] });
  const relink = async <T>(_: readonly Item[], work: () => Promise<T>): Promise<T> => work();
  let asked = -1; // the first one is the probe
  const enable = async (): Promise<void> => void asked++;
  const scratch = { isClosed: false, fresh: () => join(directory.path, 'probe') };
  const verity = await openVerity(scratch, { relink }, filesOf, enable);
  const itemAt = (nth: number): Item => ({
    kind: 'blobs',
    digest: toDigest('sha256', nth.toString(16).padStart(64, '0')),
  });
  await assert.rejects(verity.seal(itemAt(0), AbortSignal.abort(new Error('enough'))), /enough/);
  for (let nth = 0; nth <= 20_000; nth++) await verity.seal(itemAt(nth), never);
  assert.equal(asked, 20_001);
  await verity.seal(itemAt(20_000), never);
  assert.equal(asked, 20_001);
  await verity.seal(itemAt(0), never);
  assert.equal(asked, 20_002);
});
