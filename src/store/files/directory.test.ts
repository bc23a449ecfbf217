import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { openDirectory } from './directory.ts';

test('a directory on a read-only filesystem is refused, and the error says so', needs('root'), async () => {
  await using directory = await temporaryDirectory();
  const disk = mountTmpfs(join(directory.path, 'disk'), 'size=1m,ro');
  for (const path of [join(disk, 'state'), join(disk, 'a/b/state')]) {
    await assert.rejects(openDirectory(path), {
      code: 'unavailable',
      message: `cannot make the directory ${path}: its filesystem is read-only; mount it for writing, or give another --state-dir`,
    });
  }
});

test('a directory that cannot be made for another reason fails with its own error', async () => {
  await assert.rejects(openDirectory('/dev/null/state'), { code: 'ENOTDIR' });
});
