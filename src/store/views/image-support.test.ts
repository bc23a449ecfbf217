import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runProgram } from '../../../test/support/os/program.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { openStore } from '../store.ts';

for (const [sectors, isDirect] of [
  ['512', true],
  ['4096', false],
] as const) {
  test(
    `a disk with sectors of ${sectors} bytes ${isDirect ? 'reads' : 'does not read'} past the page cache`,
    needs('root', 'mkfs.ext4'),
    async () => {
      await using directory = await temporaryDirectory();
      const [file, path] = [join(directory.path, 'disk'), join(directory.path, 'mounted')];
      writeFileSync(file, '');
      truncateSync(file, 64 * 1024 * 1024);
      const loop = runProgram('losetup', '--find', '--show', '--sector-size', sectors, file).trim();
      using _ = { [Symbol.dispose]: () => void runProgram('losetup', '--detach', loop) };
      execFileSync('mkfs.ext4', ['-q', loop]);
      mkdirSync(path);
      execFileSync('mount', [loop, path]);
      using _mount = { [Symbol.dispose]: () => void execFileSync('umount', [path]) };
      await using store = await openStore({ stateDir: join(path, 'state') });
      assert.deepEqual(store.imageSupport, { off: undefined, isDirect });
    },
  );
}
