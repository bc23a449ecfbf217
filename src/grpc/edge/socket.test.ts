import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { lstat, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, test } from 'node:test';
import { bindSocket } from './socket.ts';

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'oci-artifact-csi-'));
});
after(() => rm(directory, { recursive: true }));

/** Leaves the socket of a process that died. */
function leaveSocket(path: string): void {
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
}

test('a socket is for root alone, and nothing lies beside it', async () => {
  const bound = await bindSocket(join(directory, 'a.sock'), 'if-silent');
  const there = await lstat(join(directory, 'a.sock'));
  assert.ok(there.isSocket());
  assert.equal(there.mode & 0o777, 0o600);
  assert.deepEqual(await readdir(directory), ['a.sock']);
  await bound.release();
  await bound.release();
  assert.deepEqual(await readdir(directory), []);
});

test('a stale socket is replaced', async () => {
  const path = join(directory, 'stale.sock');
  leaveSocket(path);
  const stale = await lstat(path);
  const bound = await bindSocket(path, 'if-silent');
  assert.notEqual((await lstat(path)).ino, stale.ino);
  await bound.release();
});

test('a socket that answers is not replaced', async () => {
  const path = join(directory, 'busy.sock');
  const bound = await bindSocket(path, 'if-silent');
  const { ino } = await lstat(path);
  await assert.rejects(bindSocket(path, 'if-silent'), {
    code: 'exists',
    message: `another server answers on ${path}; stop it, or choose another path`,
  });
  assert.equal((await lstat(path)).ino, ino);
  await bound.release();
});

test('a successor may take the path, and the predecessor leaves it alone when it goes', async () => {
  const path = join(directory, 'handover.sock');
  {
    const old = await bindSocket(path, 'always');
    const fresh = await bindSocket(path, 'always');
    const { ino } = await lstat(path);
    await old.release();
    await new Promise(resolve => setTimeout(resolve, 50));
    assert.equal((await lstat(path)).ino, ino);
    await fresh.release();
  }
  assert.deepEqual(await readdir(directory), []);
});

test('a socket is recognized and removed in one step, so that no successor loses its own', async () => {
  const path = join(directory, 'step.sock');
  const bound = await bindSocket(path, 'always');
  const released = bound.release();
  assert.equal(existsSync(path), false);
  await released;
});

test('a server that is stopped, with as many connections as it may have, still has its socket', async () => {
  const path = join(directory, 'full.sock');
  const script = `require('node:net').createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => process.kill(process.pid, 'SIGSTOP'))`;
  const child = spawn(process.execPath, ['-e', script]);
  const clients: Socket[] = [];
  try {
    for (let isFull = false; !isFull; ) {
      const client = connect(path);
      clients.push(client);
      isFull = await new Promise<boolean>(resolve => {
        client.once('connect', () => resolve(false));
        client.once('error', error => resolve('code' in error && error.code === 'EAGAIN'));
      });
    }
    await assert.rejects(bindSocket(path, 'if-silent'), { code: 'exists' });
  } finally {
    for (const client of clients) client.destroy();
    child.kill('SIGKILL');
    await rm(path, { force: true });
  }
});

test('other files are never replaced, and symlinks are not followed', async () => {
  const file = join(directory, 'file');
  const link = join(directory, 'link');
  await writeFile(file, 'mine');
  await symlink(file, link);
  for (const path of [file, link, directory]) {
    await assert.rejects(bindSocket(path, 'always'), {
      code: 'invalid',
      message: `${path} is not a socket; move it away, or choose another path`,
    });
  }
  await rm(link);
  await rm(file);
});

test('a socket without a directory is refused, and nothing is made', async () => {
  await writeFile(join(directory, 'file'), '');
  for (const parent of ['file', 'absent', 'absent/deeper']) {
    await assert.rejects(bindSocket(join(directory, parent, 'a.sock'), 'if-silent'), {
      code: 'invalid',
      message: `there is no directory for the socket ${directory}/${parent}/a.sock; create it, or correct --endpoint or --containerd-socket`,
    });
  }
  assert.equal(existsSync(join(directory, 'absent')), false);
});

test('a path that the kernel cannot bind is refused with its bound', async () => {
  const longest = join(directory, 'x'.repeat(106 - directory.length));
  await assert.rejects(bindSocket(`${longest}x`, 'always'), {
    code: 'invalid',
    message: `the path of the socket ${longest}x has 108 bytes; Linux allows 107: choose a shorter directory or name`,
  });
  const bound = await bindSocket(longest, 'always');
  await bound.release();
});

test('what a killed daemon left without a name is taken away', async () => {
  const own = await mkdtemp(join(directory, 'f-'));
  leaveSocket(join(own, '.oac-abcdef'));
  assert.deepEqual(await readdir(own), ['.oac-abcdef']);
  const bound = await bindSocket(join(own, 'csi.sock'), 'if-silent');
  assert.deepEqual(await readdir(own), ['csi.sock']);
  await bound.release();
});
