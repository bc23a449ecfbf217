import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { kubeletDirectory } from '../../test/support/node/kubelet-directory.ts';
import { runProgram } from '../../test/support/os/program.ts';
import { needs } from '../../test/support/project/tools.ts';
import { openMounter } from './mounter.ts';

test(
  'mounts of views are listed wherever the state directory is mounted, and others are not',
  needs('root'),
  async () => {
    await using node = await kubeletDirectory();
    using mounter = openMounter(node);
    assert.deepEqual(await mounter.list(join(node.path, 'none')), []);
    const elsewhere = join(node.path, 'state elsewhere');
    mkdirSync(elsewhere);
    runProgram('mount', '--bind', dirname(node.views), elsewhere);
    runProgram('mount', '--bind', node.path, join(node.path, 'outside'), '--mkdir');
    await mounter.mount(node.view, node.target, []);
    await mounter.mount(node.kubeletDir, { ...node.target, path: join(node.kubeletDir, 'self') }, []);
    for (const views of [node.views, join(elsewhere, 'views')]) {
      assert.deepEqual(await mounter.list(views), [
        { target: node.target.path, source: join(views, 'view'), dead: false },
      ]);
    }
  },
);
