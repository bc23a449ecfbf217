import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { volume } from '../../../test/support/node/samples.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { needs } from '../../../test/support/project/tools.ts';
import type { VolumeRecord } from '../../ports/records.ts';
import { openStore } from '../../store/store.ts';
import { deferRemovals } from './owed-removals.ts';

test(
  'on a disk that turned read-only a volume ends, and its record is removed once it can be',
  needs('root'),
  async () => {
    await using directory = await temporaryDirectory();
    const disk = mountTmpfs(join(directory.path, 'disk'), 'size=4m');
    /** Lookups by path find a read-only filesystem. An open one cannot be remounted. */
    const cover = (): void => {
      execFileSync('mount', ['--bind', disk, disk]);
      execFileSync('mount', ['-o', 'remount,bind,ro', disk]);
    };
    const { mounted: _, ...status } = volume;
    const record = { ...status, holds: [status.digest] } as VolumeRecord;
    const key = record.targetPath;
    await using store = await openStore({ stateDir: join(disk, 'state') });
    const notes: string[] = [];
    const records = deferRemovals(store.volumes, text => notes.push(text));
    await records.put(record);
    assert.equal(store.problem(), undefined);
    cover();
    try {
      assert.match(store.problem() ?? '', /cannot be written \(EROFS\)/);
      await records.remove(key);
      assert.deepEqual(
        [await records.find(key), await records.list(), await records.listAll()],
        [undefined, [], []],
      );
      assert.match(notes.join(), /EROFS/);
      await records.settle();
      assert.notEqual(await store.volumes.find(key), undefined, 'it is still owed');
      await assert.rejects(records.put(record), /EROFS/);
    } finally {
      execFileSync('umount', [disk]);
    }
    assert.equal(store.problem(), undefined);
    await records.settle();
    assert.equal(await store.volumes.find(key), undefined);
    await records.put(record);
    assert.notEqual(await records.find(key), undefined);
  },
);
