import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../test/support/os/tmpfs.ts';
import { openDisk } from './disk.ts';

test('usage equals what df reports of the filesystem, for bytes and inodes', async () => {
  await using directory = await temporaryDirectory();
  const disk = mountTmpfs(join(directory.path, 'disk'), 'size=8m,nr_inodes=100');
  writeFileSync(join(disk, 'a'), Buffer.alloc(3_000_000));
  const df = spawnSync('df', ['--block-size=1', '--output=size,used,avail,itotal,iused', disk], {
    encoding: 'utf8',
  });
  const [totalBytes, usedBytes, availableBytes, totalInodes, usedInodes] = (df.stdout.split('\n')[1] ?? '')
    .trim()
    .split(/ +/)
    .map(Number);
  const usage = await openDisk(disk).usage();
  assert.deepEqual(usage, { totalBytes, usedBytes, availableBytes, totalInodes, usedInodes });
  assert.equal(usage.usedInodes, 2);
});

test('a state directory that no longer exists is an error that names it', async () => {
  await assert.rejects(openDisk('/nonexistent/cache').usage(), {
    code: 'internal',
    message: /\/nonexistent\/cache/,
  });
});
