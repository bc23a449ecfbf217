import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { test } from 'node:test';
import { runShell } from '../../../test/support/node/shell.ts';
import { runProgram } from '../../../test/support/os/program.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { chunksAnnotation, parseChunkList } from '../../oci/chunk-list.ts';
import { parseDigest } from '../../oci/digest.ts';
import { exitCodes } from '../exit.ts';

/** The current directory until it is disposed of: files must be below it. */
async function workDirectory() {
  const directory = await temporaryDirectory();
  const before = process.cwd();
  process.chdir(directory.path);
  return {
    path: directory.path,
    async [Symbol.asyncDispose]() {
      process.chdir(before);
      await directory[Symbol.asyncDispose]();
    },
  };
}

test('lists are written beside their files, and the printed command names them', async () => {
  await using directory = await workDirectory();
  writeFileSync('m.bin', 'content');
  const { code, stdout } = await runShell(['chunks', './m.bin', 'm.bin']);
  assert.equal(code, 0);
  const type = 'application/vnd.oci-artifact-csi.chunks.v1';
  assert.equal(stdout, `oras push --annotation-file chunks.json REFERENCE m.bin m.bin.chunks:${type}\n`);
  const digest = parseDigest('sha256:ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73');
  assert.equal(parseChunkList(readFileSync('m.bin.chunks'), { digest, size: 7 }).digests.length, 32);
  assert.deepEqual(readdirSync(directory.path), ['chunks.json', 'm.bin', 'm.bin.chunks']);
});

test('a name is a key of the annotations and a word of a shell, whatever it is', async () => {
  await using _ = await workDirectory();
  const names = ['__proto__', "it's a $(part)", '模型'];
  for (const name of names) writeFileSync(name, name);
  const { code, stdout, stderr } = await runShell(['chunks', ...names]);
  assert.equal(code, 0, stderr);
  const annotations = JSON.parse(readFileSync('chunks.json', 'utf8')) as Record<string, object>;
  assert.deepEqual(Object.keys(annotations), names);
  for (const annotation of Object.values(annotations))
    assert.deepEqual(Object.keys(annotation), [chunksAnnotation]);
  const script = stdout.replace(/^oras .* REFERENCE /, `printf '%s\\n' `);
  const words = runProgram('sh', '-c', script).trimEnd().split('\n');
  assert.deepEqual(
    words.filter(word => !word.includes(':')),
    names,
  );
});

test('nothing that is there is written over, and no symlink is followed', async () => {
  for (const taken of ['a.chunks', 'b.chunks', 'chunks.json']) {
    for (const put of [
      () => writeFileSync(taken, 'mine'),
      () => symlinkSync('elsewhere', taken),
      () => mkdirSync(taken),
    ]) {
      await using directory = await workDirectory();
      for (const name of ['a', 'b']) writeFileSync(name, name);
      put();
      const { code, stderr } = await runShell(['chunks', 'a', 'b']);
      assert.equal(code, exitCodes.exists, stderr);
      assert.match(stderr, new RegExp(`"${taken}" exists`));
      assert.deepEqual(readdirSync(directory.path).toSorted(), ['a', 'b', taken].toSorted());
    }
  }
});

test('a file whose list would be the annotations is refused, and nothing is left of the others', async () => {
  await using directory = await workDirectory();
  for (const name of ['a', 'b']) writeFileSync(name, name);
  const { code } = await runShell(['chunks', '--annotations', 'b.chunks', 'a', 'b']);
  assert.equal(code, exitCodes.exists);
  assert.deepEqual(readdirSync(directory.path), ['a', 'b']);
});

for (const [what, name, code, why] of [
  ['a file that is not there', 'none', 'not-found', /there is no file "none"/],
  ['a directory', 'directory', 'invalid', /directory" is no regular file/],
  ['a FIFO', 'fifo', 'invalid', /fifo" is no regular file/],
  ['a name with a colon', 'a:b', 'invalid', /no colon/],
  ['an option of oras', './-x', 'invalid', /hyphen/],
  ['the key of the manifest', '$manifest', 'invalid', /another name/],
  ['the key of the config', '$config', 'invalid', /another name/],
  ['a control character', 'a\nb', 'invalid', /control characters/],
  ['a directory above', '../a', 'invalid', /below the current directory/],
  ['an absolute path', '/etc/hostname', 'invalid', /below the current directory/],
] as const) {
  test(`${what} has no chunk list`, async () => {
    await using directory = await workDirectory();
    mkdirSync('directory');
    runProgram('mkfifo', 'fifo');
    const ran = await runShell(['chunks', name]);
    assert.equal(ran.code, exitCodes[code], ran.stderr);
    assert.match(ran.stderr, why);
    assert.deepEqual(readdirSync(directory.path), ['directory', 'fifo']);
  });
}

test('a file behind a symlink has the chunk list of its bytes', async () => {
  await using _ = await workDirectory();
  writeFileSync('blob', 'content');
  symlinkSync('blob', 'model');
  assert.equal((await runShell(['chunks', 'model', 'blob'])).code, 0);
  assert.ok(readFileSync('model.chunks').equals(readFileSync('blob.chunks')));
});
