import assert from 'node:assert/strict';
import { linkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDigestDirectories, openDirectory } from '../../src/store/files/directory.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';

test('more blobs than a function call has room for arguments are all listed', async () => {
  await using directory = await temporaryDirectory();
  await using directories = new AsyncDisposableStack();
  const blobs = await openDigestDirectories(directory.path, async name =>
    directories.use(await openDirectory(name)),
  );
  const count = 150_000;
  // One inode for each so many names, since ext4 has a bound for links.
  let body = '';
  for (let nth = 0; nth < count; nth++) {
    const path = join(directory.path, 'sha256', nth.toString(16).padStart(64, '0'));
    if (nth % 60_000 === 0) writeFileSync((body = path), '');
    else linkSync(body, path);
  }
  assert.equal((await blobs.list()).length, count);
});
