import assert from 'node:assert/strict';
import { readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeBlob } from '../../../test/support/oci/nodes.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { openStore } from '../store.ts';
import { partialName } from './blobs.ts';
import { retirePartials } from './partial-downloads.ts';

const never = new AbortController().signal;
const yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000);

test('a download without writes for a day is removed, unless it is resumed', async () => {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  const left = (text: string, changed: Date) => {
    const descriptor = describeBlob(Buffer.from(text));
    const path = join(directory.path, 'ingest', partialName(descriptor, 'registry'));
    writeFileSync(path, 'x');
    utimesSync(path, changed, changed);
    return descriptor;
  };
  const [given, goes, fresh] = [
    left('given', yesterday),
    left('goes on', yesterday),
    left('fresh', new Date()),
  ];
  {
    await using _open = await store.blobs.ingest(goes, 'registry', never);
    await store.retire();
    assert.deepEqual(
      [given, goes, fresh].map(blob => store.blobs.partial(blob, 'registry')),
      [0, 1, 1],
    );
  }
  await store.retire();
  assert.equal(store.blobs.partial(goes, 'registry'), 0);
});

test('a file that disappears during the cleanup is not an error', async () => {
  await using directory = await temporaryDirectory();
  for (const name of ['a', 'b']) {
    writeFileSync(join(directory.path, name), '');
    utimesSync(join(directory.path, name), yesterday, yesterday);
  }
  let taken = 0;
  const takeAll = async (): Promise<void> => {
    taken++;
    for (const name of readdirSync(directory.path)) rmSync(join(directory.path, name));
  };
  await retirePartials(directory.path, () => false, takeAll);
  assert.equal(taken, 1);
});
