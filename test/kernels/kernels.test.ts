import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runInMachine } from '../support/machine/machine.ts';
import { projectScript, writeProject } from '../support/machine/project.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';

const newest = 'linux-image-cloud-amd64';

/** As where a kernel sees each change of an image, or where it is made to see it, for which /sys must be writable. */
type Expected = 'on' | 'on with /sys';

/** Packages of Debian by their suites, and whether the kernel loads on demand; if not, why. */
const kernels: readonly (readonly [suite: string, name: string, expected: Expected | RegExp])[] = [
  ['bookworm', newest, /EROFS from block devices only/],
  ['bookworm-backports', 'linux-image-6.12.43+deb12-cloud-amd64', /shows zeros for bytes that a file lacks/],
  ['trixie', newest, 'on'],
  ['trixie-backports', newest, 'on with /sys'],
];

for (const [suite, name, expected] of kernels)
  test(
    `${name} of ${suite} ${typeof expected === 'string' ? 'loads on demand' : 'shows a volume when all of it is here'}`,
    needs('root', 'qemu-system-x86_64', 'cpio', 'xz', 'mkfs.ext4'),
    async t => {
      await using directory = await temporaryDirectory();
      const filesystem = join(directory.path, 'root');
      await writeProject('amd64', filesystem, directory.path);
      const kernel = { architecture: 'amd64', suite, package: name } as const;
      const script = `${projectScript}node test/kernels/trial.ts`;
      const shown = await runInMachine(kernel, filesystem, script, directory.path);
      for (const [, told = ''] of shown.matchAll(/^- (.*?)\r?$/gm)) t.diagnostic(told);
      if (typeof expected === 'string') {
        assert.match(shown, /^- loading on demand: on/m);
        assert.match(shown, /^- a file is a mount of erofs, made before all was here/m);
        assert.match(shown, /^- under strain /m);
        const readOnly = /^- with a read-only \/sys, loading on demand: (.*?)\r?$/m.exec(shown)?.[1] ?? '';
        assert.match(readOnly, expected === 'on' ? /^on$/ : /^off .*EROFS.*\/sys\/fs\/erofs\/.*drop_caches/);
      } else {
        assert.match(/^- loading on demand: off .*$/m.exec(shown)?.[0] ?? '', expected);
        assert.match(shown, /^- a file is a mount of ext4, made when all was here/m);
      }
    },
  );
