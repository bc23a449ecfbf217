import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../test/support/temporary.ts';
import { openLiveFile } from './live-file.ts';

test('a file that cannot be opened or read is named, with where it was given', async () => {
  await using folder = await temporaryFolder();
  for (const [path, why] of [
    [folder.path, 'EISDIR: illegal operation on a directory, read'],
    [join(folder.path, 'absent'), `ENOENT: no such file or directory, open '${folder.path}/absent'`],
  ] as const) {
    const file = openLiveFile({
      what: 'the auth file',
      flag: '--auth-file',
      list: async () => [path],
      note: () => {},
      parse: async files => files,
    });
    await assert.rejects(file.read(new AbortController().signal), {
      code: 'internal',
      message: `the auth file ${path} cannot be read: ${why}; correct --auth-file`,
    });
  }
});
