import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { blobFile, describeBlob, directory } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { packSmallFiles } from './small-files.ts';

const never = new AbortController().signal;
const blockSize = 4096;
const [large, small] = [randomBytes(8 * 2 ** 20 + 100), Buffer.from('small')];
const [largeFile, smallFile] = [blobFile(describeBlob(large)), blobFile(describeBlob(small))];

/** Writes the files of a tree, and returns what packs them into the new file `to`. */
function openFiles(path: string) {
  const pathOf = (file: unknown): string => join(path, file === largeFile ? 'large' : 'small');
  writeFileSync(join(path, 'large'), large);
  writeFileSync(join(path, 'small'), small);
  const to = join(path, 'to');
  const tree = directory({ large: largeFile, small: smallFile });
  return { to, pack: (signal: AbortSignal) => packSmallFiles(to, tree, blockSize, pathOf, signal) };
}

test('each file is copied to blocks of its own', async () => {
  await using temporary = await temporaryDirectory();
  const { to, pack } = openFiles(temporary.path);
  const { size, blockOf } = await pack(never);
  const bytes = readFileSync(to);
  assert.equal(bytes.length, size * blockSize);
  for (const [file, content] of [[largeFile, large] as const, [smallFile, small] as const]) {
    const at = blockOf(file) * blockSize;
    assert.ok(content.equals(bytes.subarray(at, at + content.length)));
  }
});

test('the event loop turns while one large file is copied, and an abort ends the copy within it', async () => {
  await using temporary = await temporaryDirectory();
  const { to, pack } = openFiles(temporary.path);
  const ending = new AbortController();
  const reason = new Error('enough');
  const abortWithin = (): void => {
    if (!existsSync(to) || statSync(to).size === 0) setImmediate(abortWithin);
    else ending.abort(reason);
  };
  abortWithin();
  await assert.rejects(pack(ending.signal), reason);
  assert.ok(statSync(to).size < large.length, `${statSync(to).size} bytes were copied`);
});

test('a large file that is shorter than its tree says is not copied', async () => {
  await using temporary = await temporaryDirectory();
  const { pack } = openFiles(temporary.path);
  writeFileSync(join(temporary.path, 'large'), large.subarray(100));
  await assert.rejects(pack(never), {
    code: 'corrupt',
    message: `${join(temporary.path, 'large')} has ${large.length - 100} bytes where ${large.length} were expected`,
  });
});
