import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { blobFile, describeBlob } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { type DirectoryNode, plainAttributes } from '../../tree/tree.ts';
import { copyEnd } from './layer-file.ts';
import { packSmallFiles } from './small-files.ts';

/** More than the disk has, and written by one call: the kernel writes a part of it, and reports no error. */
const bytes = randomBytes(100_000);
const full = { code: 'ENOSPC' };

test('files that a full disk takes a part of are not copied', needs('root'), async () => {
  await using directory = await temporaryDirectory();
  const disk = mountTmpfs(join(directory.path, 'disk'), 'size=64k');
  const from = join(directory.path, 'from');
  writeFileSync(from, bytes);
  const children = new Map([['small', blobFile(describeBlob(bytes))]]);
  const root: DirectoryNode = { kind: 'directory', children, attributes: plainAttributes, layer: 'l' };
  const { signal } = new AbortController();
  await assert.rejects(
    packSmallFiles(join(disk, 'small'), root, 4096, () => from, signal),
    full,
  );
});

test('the end of a layer that a full disk takes a part of is not shown', needs('root'), async () => {
  await using directory = await temporaryDirectory();
  const disk = mountTmpfs(join(directory.path, 'disk'), 'size=64k');
  const [data, end] = [join(directory.path, 'data'), join(disk, 'end')];
  writeFileSync(data, bytes);
  writeFileSync(end, '');
  const map = { size: bytes.length, chunkSize: 1024 ** 2, at: 0, device: 2, blockSize: 4096 };
  await assert.rejects(async () => await copyEnd(map, data, end), full);
});
