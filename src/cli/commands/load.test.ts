import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digest } from '../../../test/support/samples.ts';
import { runShell } from '../../../test/support/shell.ts';
import { temporaryFolder } from '../../../test/support/temporary.ts';

test('load packs a directory, and sends a tar and the input as they are, the index of a file first', async () => {
  await using folder = await temporaryFolder();
  const layout = join(folder.path, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), '{}');
  await writeFile(join(layout, 'blobs/sha256', 'ff'), Buffer.alloc(3_000_000, 7));
  await writeFile(join(layout, 'blobs/sha256', 'aa'), '');
  const taken: Buffer[] = [];
  const references: (string | undefined)[] = [];
  const load = async (tar: AsyncIterable<Uint8Array>, reference: string | undefined): Promise<never> => {
    taken.push(Buffer.concat(await Array.fromAsync(tar)));
    references.push(reference);
    return [{ reference: 'registry.example/z:1', descriptor: { digest }, cached: true }] as never;
  };
  const ran = await runShell(['load', layout], { artifacts: { load } });
  assert.equal(ran.stdout, `registry.example/z:1@${digest}\n`);
  const [tar] = taken;
  assert.ok(tar !== undefined && tar.length > 3_000_000);
  const names = [0, 1024, 2048, 2560].map(
    offset => tar.toString('latin1', offset, offset + 100).split('\0')[0],
  );
  assert.deepEqual(names, ['oci-layout', 'index.json', 'blobs/sha256/aa', 'blobs/sha256/ff']);

  const file = join(folder.path, 'layout.tar');
  await writeFile(file, tar);
  await runShell(['load', file, 'registry.example/other:1'], { artifacts: { load } });
  await runShell(['load', '-'], { stdin: [tar], artifacts: { load } });
  assert.deepEqual(references, [undefined, 'registry.example/other:1', undefined]);
  const [, fromFile, fromInput] = taken;
  assert.equal(fromFile?.toString('latin1', 0, 100).split('\0')[0], 'index.json');
  assert.ok(fromFile?.subarray(-tar.length).equals(tar));
  assert.ok(fromInput?.equals(tar));
});

test('load refuses what is no layout before it asks for anything', async () => {
  await using folder = await temporaryFolder();
  for (const path of [folder.path, join(folder.path, 'nothing')]) {
    const ran = await runShell(['load', path]);
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /no OCI image layout is there: that is a folder with index\.json, or its tar/);
  }
});

test('a layout that loses a blob while it is packed fails the load', async () => {
  await using folder = await temporaryFolder();
  await mkdir(join(folder.path, 'blobs/sha256/not-a-file'), { recursive: true });
  await writeFile(join(folder.path, 'oci-layout'), '{}');
  await writeFile(join(folder.path, 'index.json'), '{}');
  const load = async (tar: AsyncIterable<Uint8Array>): Promise<never> => {
    await Array.fromAsync(tar);
    return [] as never;
  };
  const ran = await runShell(['load', folder.path], { artifacts: { load } });
  assert.notEqual(ran.code, 0);
  assert.match(ran.stderr, /EISDIR/);
});
