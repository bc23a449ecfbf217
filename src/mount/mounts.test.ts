import assert from 'node:assert/strict';
import { openSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import { openMounts } from './mounts.ts';

const openFiles = (): number => readdirSync('/proc/self/fd').length;

test('kept files that are no landings are closed, and dropped', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  for (const count of [0, 1, 3]) {
    let drops = 0;
    const holder = {
      take: () => Array.from({ length: count }, () => openSync('/dev/null', 'r')),
      keep: () => assert.fail('there is nothing to keep'),
      drop: () => void drops++,
      settle() {},
      problem: () => undefined,
      [Symbol.dispose]() {},
    };
    const [kubeletDir, stateDir] = [temporary.path, temporary.path];
    using mounts = openMounts({ kubeletDir, stateDir, driverName: 'x', selinuxLabel: '', holder });
    const before = openFiles();
    assert.equal(await mounts.resumeLandings(temporary.path, () => {}), undefined);
    assert.deepEqual([openFiles(), drops], [before, 1]);
  }
});
