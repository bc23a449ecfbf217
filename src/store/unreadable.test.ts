import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { blobFile, describeBlob, directory } from '../../test/support/oci/nodes.ts';
import { putFile, viewRecord } from '../../test/support/oci/view-sample.ts';
import { mountSpoiledDisk } from '../../test/support/os/spoiled-disk.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import { openStore, type Store } from './store.ts';

const never = new AbortController().signal;

async function buildLate(store: Store, key: string): Promise<string> {
  const file = await putFile(store.blobs, 'small');
  const large = blobFile(describeBlob(randomBytes(2 ** 20)));
  const { digest } = large.source;
  const made = await store.lateViews.create(
    {
      key,
      record: { ...viewRecord, key: `whole-${key}`, layers: [] },
      tree: directory({ file, large }),
      layers: [{ digest, size: large.size, list: undefined }],
      source: 'r.example',
      platform: undefined,
      landingOf: () => '/dev/null',
      keepsMaps: false,
    },
    never,
  );
  return made?.image.file ?? assert.fail();
}

test(
  'views that the disk does not give count as absent, and the store opens; late ones of this boot stay',
  needs('root', 'mkfs.ext4', 'debugfs'),
  async () => {
    await using temporary = await temporaryDirectory();
    const disk = mountSpoiledDisk(temporary.path);
    const stateDir = join(disk.path, 'state');
    const spoiled: string[] = [];
    {
      await using store = await openStore({ stateDir, bootId: 'one' });
      const tree = directory({ a: await putFile(store.blobs, 'a') });
      for (const key of ['good', 'bad']) await store.views.build({ ...viewRecord, key }, tree, never);
      spoiled.push(join(stateDir, 'views/bad'));
      spoiled.push(await buildLate(store, 'late-1')); // the image
      await buildLate(store, 'late-2');
      spoiled.push(join(stateDir, 'views/late-2.erofs'));
      await buildLate(store, 'late-3');
      spoiled.push(join(stateDir, 'late/late-3/record'));
    }
    disk.spoil(spoiled);
    for (const path of spoiled) assert.throws(() => lstatSync(path), path);
    const logged: string[] = [];
    const log = { warn: (_: object, text: string) => void logged.push(text) };
    await using store = await openStore({ stateDir, bootId: 'one', log });
    for (const key of ['bad', 'late-2']) {
      assert.equal(await store.views.find(key), undefined);
      assert.ok(
        logged.some(text => text.startsWith(`the view ${key} cannot be read (`)),
        logged.join('\n'),
      );
    }
    assert.deepEqual(
      (await store.views.list()).map(({ key }) => key).filter(key => key !== 'late-1'),
      ['good', 'late-3'],
    );
    assert.deepEqual((await store.lateViews.keys()).toSorted(), ['late-1', 'late-2', 'late-3']);
    await assert.rejects(store.lateViews.find('late-3'), {
      code: 'internal',
      message: /^reading the volume that is loaded on demand \(view late-3\): /,
    });
    await store[Symbol.asyncDispose]();
    // After a reboot no volume shows them. What cannot even be moved away stays, too; what may be of this boot does
    // until it is known that no volume shows it.
    await using later = await openStore({ stateDir, bootId: 'two', log });
    await later.lateViews.remove('late-3');
    assert.ok(!(await later.lateViews.keys()).includes('late-3'));
    assert.deepEqual(
      (await later.views.list()).map(({ key }) => key),
      ['good'],
    );
  },
);
