import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import { openHandle } from '../store/files/directory.ts';
import { isIrregular, openRegular, readRegular } from './regular-file.ts';

const directory = await temporaryDirectory();
const server = createServer();
after(async () => {
  server.close();
  await directory[Symbol.asyncDispose]();
});
const at = (name: string): string => join(directory.path, name);

writeFileSync(at('file'), 'text');
symlinkSync('file', at('symlink'));
mkdirSync(at('directory'));
execFileSync('mkfifo', [at('fifo')]);
server.listen(at('socket'));

const kinds: Readonly<Record<string, string>> = {
  symlink: 'a symlink',
  directory: 'a directory',
  fifo: 'a FIFO',
  socket: 'a socket',
  device: 'a device',
};

for (const [name, words] of Object.entries(kinds)) {
  test(`${words} in the place of a file is named, and not waited for`, needs('root'), async () => {
    if (name === 'device') execFileSync('mknod', [at(name), 'c', '1', '5']); // /dev/zero, which has no end
    const isNamed = (thrown: unknown): boolean => {
      assert.equal(
        (thrown as Error).message,
        `${at(name)} is ${words}, and must be a regular file; remove it`,
      );
      return isIrregular(thrown);
    };
    for (const flags of [constants.O_RDONLY, constants.O_WRONLY, constants.O_RDWR | constants.O_CREAT]) {
      assert.throws(() => closeSync(openRegular(at(name), flags, 0o600)), isNamed);
      await assert.rejects(openHandle(at(name), flags, 0o600), isNamed);
    }
    assert.throws(() => readRegular(at(name)), isNamed);
  });
}

test('a regular file is opened, and errors of the filesystem are left as they are', async () => {
  assert.equal(readRegular(at('file')), 'text');
  await using handle = await openHandle(at('file'));
  assert.equal(await handle.readFile('utf8'), 'text');
  assert.throws(() => openRegular(at('nothing')), { code: 'ENOENT' });
  await assert.rejects(openHandle(at('file/below')), { code: 'ENOTDIR' });
});
