import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startWriteback, syncFileSystem } from './io.ts';
import { isLocked, lockFile, unlockFile } from './lock.ts';
import { getXattr, setXattr } from './xattr.ts';

const directory = mkdtempSync(join(tmpdir(), 'libc-'));
after(() => rmSync(directory, { recursive: true }));

function openFile(name: string, content = ''): number {
  writeFileSync(join(directory, name), content);
  return openSync(join(directory, name), 'r+');
}

test('a lock is held against other descriptors until its own is closed', () => {
  const first = openFile('lock');
  const second = openSync(join(directory, 'lock'), 'r+');
  assert.equal(lockFile(first), true);
  assert.equal(lockFile(first), true, 'the holder may ask again');
  assert.equal(lockFile(second), false);
  closeSync(first);
  assert.equal(lockFile(second), true);
  closeSync(second);
});

test('a lock is held against another process, and ends when its holder is killed', () => {
  const fd = openFile('lock-of-process');
  const script = `
    const { openSync } = require('node:fs');
    import(${JSON.stringify(new URL('./lock.ts', import.meta.url).href)}).then(({ lockFile }) => {
      console.log(lockFile(openSync(${JSON.stringify(join(directory, 'lock-of-process'))}, 'r+')));
      process.kill(process.pid, 'SIGKILL');
    });`;
  const take = () => spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' }).stdout.trim();
  assert.equal(take(), 'true');
  assert.equal(lockFile(fd), true, 'the killed holder left nothing');
  assert.equal(take(), 'false');
  closeSync(fd);
});

test('each byte of a file has a lock of its own, which is seen by others and can be given back', () => {
  const first = openFile('bytes');
  const second = openSync(join(directory, 'bytes'), 'r+');
  assert.equal(lockFile(first, 'exclusive', 1), true);
  assert.deepEqual([isLocked(first, 1), isLocked(second, 1), isLocked(second, 0)], [false, true, false]);
  assert.equal(lockFile(second), true);
  assert.equal(lockFile(second, 'exclusive', 1), false);
  unlockFile(first, 1);
  assert.equal(isLocked(second, 1), false);
  assert.equal(lockFile(second, 'shared', 1), true);
  assert.deepEqual([isLocked(first, 1), lockFile(first, 'shared', 1)], [true, true]);
  closeSync(first);
  closeSync(second);
});

test('extended attributes are read back byte for byte, including empty and large ones', () => {
  const fd = openFile('attributes');
  assert.equal(getXattr(fd, 'user.none'), undefined);
  for (const value of [new Uint8Array(), new Uint8Array([0, 255, 0]), new Uint8Array(2000).fill(7)]) {
    setXattr(fd, 'user.some', value);
    assert.deepEqual(getXattr(fd, 'user.some'), value);
  }
  closeSync(fd);
});

test('a failed call throws an error with its errno, the call and the path', () => {
  const fd = openFile('failing');
  assert.throws(() => setXattr(fd, 'no-namespace', new Uint8Array(1)), {
    code: 'ENOTSUP',
    syscall: 'fsetxattr',
    path: join(directory, 'failing'),
  });
  closeSync(fd);
  assert.throws(() => lockFile(987_654), { code: 'EBADF', message: /EBADF.*fcntl 'descriptor 987654'/ });
});

test('a filesystem is synced in a thread, and an invalid descriptor rejects', async () => {
  const fd = openFile('synced', 'x');
  await syncFileSystem(fd);
  closeSync(fd);
  await assert.rejects(syncFileSystem(987_654), { code: 'EBADF', syscall: 'syncfs' });
});

test('writeback accepts offsets above 4 GiB, and lengths up to the largest safe integer', async () => {
  const fd = openFile('written', 'x');
  await startWriteback(fd, 0, 1);
  await startWriteback(fd, 2 ** 40, 2 ** 30);
  await startWriteback(fd, 0, Number.MAX_SAFE_INTEGER);
  closeSync(fd);
  await assert.rejects(startWriteback(0x7fff_ffff, 0, 1), { code: 'EBADF' });
});
