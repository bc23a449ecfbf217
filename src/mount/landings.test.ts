import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LateVolume, type Look, openLateVolume } from '../../test/support/late/volume.ts';
import { mountsBelow } from '../../test/support/os/mounts.ts';
import { runProgram } from '../../test/support/os/program.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';

const mebibyte = 2 ** 20;
const arriving = { kind: 'policy', policy: { kind: 'arrive', delayMs: 0, refusedShare: 0 } } as const;

/** Waits until so many reads wait for missing bytes. */
async function untilWaiting(volume: LateVolume, reads: number): Promise<void> {
  while ((await volume.tell({ kind: 'state' })).waiting < reads) await sleep(10);
}

async function startWaiting(volume: LateVolume, ...offsets: readonly number[]): Promise<readonly Look[]> {
  const looks = offsets.map(offset => volume.look(offset % 2 === 0 ? 'pread' : 'mmap', offset, 2000));
  await untilWaiting(volume, offsets.length);
  return looks;
}

test('a read of missing bytes waits until they are there, and others do not', needs('root'), async () => {
  await using volume = await openLateVolume();
  await volume.tell({ kind: 'arrive', chunks: [1] });
  const [waits] = await startWaiting(volume, 100);
  assert.equal(await volume.look('pread', mebibyte, mebibyte).found, 'right');
  assert.equal(await volume.look('mmap', 2 * mebibyte - 3000, 3000).found, 'right');
  await volume.tell(arriving);
  assert.equal(await waits?.found, 'right');
  assert.equal(await volume.look('sendfile', 0, volume.shape.size).found, 'right');
  const { reads, present } = await volume.tell({ kind: 'state' });
  assert.ok(reads > 0 && present === 4);
});

test('the files that reads were answered from are disposed of', needs('root'), async () => {
  await using volume = await openLateVolume();
  const looks = await startWaiting(volume, 0, 2 * mebibyte);
  await volume.tell(arriving);
  for (const look of looks) assert.equal(await look.found, 'right');
  while ((await volume.tell({ kind: 'state' })).open > 0) await sleep(10);
  await volume.tell({ kind: 'policy', policy: { kind: 'lie' } });
  assert.equal(await volume.look('pread', volume.shape.size - 1, 1).found, 'EIO');
  while ((await volume.tell({ kind: 'state' })).open > 0) await sleep(10);
});

test('a read that is refused gives an error, and the next one the bytes', needs('root'), async () => {
  await using volume = await openLateVolume({ blockSize: 4096, isDirect: true });
  await volume.tell({ kind: 'policy', policy: { kind: 'refuse' } });
  assert.equal(await volume.look('pread', 5000, 4096).found, 'EIO');
  assert.equal(await volume.look('mmap', volume.shape.size - 100, 100).found, 'EFAULT');
  await volume.tell(arriving);
  assert.equal(await volume.look('mmap', volume.shape.size - 100, 100).found, 'right');
  assert.equal(await volume.look('pread', 0, volume.shape.size).found, 'right');
});

test(
  'bytes that are missing although they were promised give an error, and no zeros',
  needs('root'),
  async () => {
    await using volume = await openLateVolume();
    await volume.tell({ kind: 'policy', policy: { kind: 'lie' } });
    assert.equal(await volume.look('pread', 0, 4096).found, 'EIO');
    assert.equal(await volume.look('pread', volume.shape.size - 1, 1).found, 'EIO');
  },
);

test('a reader that waits can be killed', needs('root'), async () => {
  await using volume = await openLateVolume();
  const looks = await startWaiting(volume, 0, mebibyte + 1);
  const start = Date.now();
  for (const look of looks) look.process.kill('SIGKILL');
  assert.deepEqual(await Promise.all(looks.map(({ found }) => found)), ['SIGKILL', 'SIGKILL']);
  assert.ok(Date.now() - start < 2000, `${Date.now() - start} ms`);
  await volume.tell(arriving);
  assert.equal(await volume.look('mmap', 0, 2 * mebibyte).found, 'right');
});

test(
  'when a landing ends, waiting and later reads get errors, and the volume can be unmounted',
  needs('root'),
  async () => {
    await using volume = await openLateVolume();
    await volume.tell({ kind: 'arrive', chunks: [3] });
    const [waits, faults] = await startWaiting(volume, 0, mebibyte + 1);
    await volume.tell({ kind: 'end landing' });
    assert.equal(await waits?.found, 'EIO');
    assert.equal(await faults?.found, 'EFAULT');
    assert.equal(await volume.look('pread', 2 * mebibyte, 1).found, 'EIO');
    assert.equal(await volume.look('pread', 3 * mebibyte, 1234).found, 'right');
    await volume.tell({ kind: 'unmount' });
    await volume.tell({ kind: 'end landings' });
  },
);

test(
  'once its landing has ended, a volume is unmounted although killed readers left reads',
  needs('root'),
  async () => {
    await using volume = await openLateVolume();
    for (const look of await startWaiting(volume, 0, mebibyte + 1)) look.process.kill('SIGKILL');
    await volume.tell({ kind: 'end landing' });
    const start = Date.now();
    await volume.tell({ kind: 'unmount' });
    assert.ok(Date.now() - start < 2000, `${Date.now() - start} ms`);
    assert.deepEqual(mountsBelow(volume.mount), []);
  },
);

test('a process lives until its landings have ended, and no longer', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  const script = join(temporary.path, 'script.mjs');
  const text = `import { openLandings } from ${JSON.stringify(import.meta.resolve('./landings.ts'))};
    const landings = await openLandings({ timeoutSeconds: 60 });
    await landings[Symbol.asyncDispose]();
    process.stdout.write('ended');`;
  writeFileSync(script, text);
  assert.equal(runProgram(process.execPath, script), 'ended');
});

for (const [how, end] of [
  ['it is killed', async (volume: LateVolume) => void volume.server.kill('SIGKILL')],
  ['it ends its landings', (volume: LateVolume) => volume.tell({ kind: 'end landings' })],
  ['the connection is aborted', (volume: LateVolume) => volume.abort()],
] as const)
  test(
    `when nobody serves missing bytes because ${how}, a volume heals in place`,
    needs('root'),
    async () => {
      await using volume = await openLateVolume();
      await volume.tell({ kind: 'arrive', chunks: [1] });
      const [waits] = await startWaiting(volume, 0);
      await end(volume);
      assert.equal(await waits?.found, 'EIO');
      assert.equal(await volume.look('pread', 2 * mebibyte, 1).found, 'EIO');
      assert.equal(await volume.look('mmap', mebibyte, mebibyte).found, 'right');
      assert.equal(runProgram('ls', '-s', '--block-size=1', volume.mount).includes('file'), true);
      await volume.heal();
      assert.equal(await volume.look('mmap', 0, volume.shape.size).found, 'right');
    },
  );

test('why landings have ended is known', needs('root'), async () => {
  await using aborted = await openLateVolume();
  assert.equal((await aborted.tell({ kind: 'state' })).failure, undefined);
  await aborted.abort();
  while ((await aborted.tell({ kind: 'state' })).failure === undefined) await sleep(10);
  assert.match(
    (await aborted.tell({ kind: 'end landings' })).failure ?? '',
    /^the kernel has ended the connection for missing bytes$/,
  );
});

for (const [how, code] of [
  ['exit', 7],
  ['throw', 1],
  ['return', 0],
] as const)
  test(`a process with open landings ends by ${how}, although reads wait`, needs('root'), async () => {
    await using volume = await openLateVolume();
    const [waits] = await startWaiting(volume, 0);
    const ended = once(volume.server, 'exit');
    await Promise.race([volume.tell({ kind: 'leave', how }), ended]);
    assert.deepEqual(await ended, [code, null]);
    assert.equal(await waits?.found, 'EIO');
  });
