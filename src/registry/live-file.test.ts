import assert from 'node:assert/strict';
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
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

test('a file that changes in place, with equal size and time, is read again', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'auth.json');
  const time = new Date(1_700_000_000_000);
  const write = async (text: string): Promise<void> => {
    await writeFile(path, text);
    await utimes(path, time, time);
  };
  await write('one');
  const file = openLiveFile({
    what: 'the auth file',
    flag: '--auth-file',
    list: async () => [path],
    note: () => {},
    parse: async ([only]) => only?.text,
  });
  const read = async () => await file.read(new AbortController().signal);
  assert.equal(await read(), 'one');
  await write('two');
  assert.equal(await read(), 'two');
  await sleep(150);
  assert.equal(await read(), 'two');
  await write('six');
  assert.equal(await read(), 'six');
});
