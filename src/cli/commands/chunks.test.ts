import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { runShell } from '../../../test/support/node/shell.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { exitCodes } from '../exit.ts';

test('the annotations are written where the flag says, and the lists are listed in the printed command', async () => {
  await using directory = await temporaryDirectory();
  const [file, annotations] = [join(directory.path, 'm.bin'), join(directory.path, 'a.json')];
  await writeFile(file, 'content');
  const { code, stdout } = await runShell(['chunks', '--annotations', annotations, file]);
  assert.equal(code, 0);
  const pushed = `${file} ${file}.chunks:application/vnd.oci-artifact-csi.chunks.v1`;
  assert.equal(stdout, `oras push --annotation-file ${annotations} REFERENCE ${pushed}\n`);
  assert.deepEqual(Object.keys(JSON.parse(await readFile(annotations, 'utf8'))), [file]);
});

for (const [what, name, code, why] of [
  ['a file that is not there', 'none', 'not-found', /there is no file ".*none"/],
  ['a directory', 'directory', 'invalid', /directory" is no regular file/],
] as const) {
  test(`${what} has no chunks, and no annotations are written`, async () => {
    await using directory = await temporaryDirectory();
    await mkdir(join(directory.path, 'directory'));
    const annotations = join(directory.path, 'a.json');
    const ran = await runShell(['chunks', '--annotations', annotations, join(directory.path, name)]);
    assert.equal(ran.code, exitCodes[code]);
    assert.match(ran.stderr, why);
    await assert.rejects(readFile(annotations), { code: 'ENOENT' });
  });
}
