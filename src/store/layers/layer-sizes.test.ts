import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { type Digest, toDigest } from '../../oci/digest.ts';
import { openJournal } from '../files/journal.ts';
import { openLayerSizes } from './layer-sizes.ts';

const digestOf = (nth: number): Digest => toDigest('sha256', nth.toString(16).padStart(64, '0'));

test('the latest sizes of layers survive the process, and a torn one is unknown', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'sizes');
  const open = async () => openLayerSizes(await openJournal(path, () => join(directory.path, 'aside')));
  {
    await using sizes = await open();
    for (let nth = 0; nth < 1001; nth++) sizes.set(digestOf(nth), { bytes: nth, inodes: 1 });
    sizes.set(digestOf(1), { bytes: 2 ** 40, inodes: 7 });
    sizes.set(digestOf(1001), { bytes: 5, inodes: 5 });
  }
  appendFileSync(path, `${digestOf(2000)} 12\n${digestOf(2001)} x y\n`);
  await using sizes = await open();
  assert.deepEqual(sizes.get(digestOf(1)), { bytes: 2 ** 40, inodes: 7 });
  assert.deepEqual(sizes.get(digestOf(1000)), { bytes: 1000, inodes: 1 });
  for (const nth of [0, 2, 2000, 2001]) assert.equal(sizes.get(digestOf(nth)), undefined, String(nth));
});
