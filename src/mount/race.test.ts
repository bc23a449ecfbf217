import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { kubeletDirectory } from '../../test/support/node/kubelet-directory.ts';
import { mountsBelow } from '../../test/support/os/mounts.ts';
import { needs } from '../../test/support/project/tools.ts';
import { ArtifactError } from '../util/error.ts';
import { openMounter } from './mounter.ts';

/** Exchanges a directory with symlinks to others, back and forth, until its standard input ends. */
const swapper = (path: string, others: readonly string[]): string => `
  const fs = await import('node:fs');
  const attempt = (name, ...args) => { try { fs[name](...args); } catch {} };
  const [path, others] = ${JSON.stringify([path, others])};
  const never = new Int32Array(new SharedArrayBuffer(4));
  const pause = most => Atomics.wait(never, 0, 0, Math.random() * most);
  let open = true;
  process.stdin.on('end', () => { open = false; }).resume();
  console.log('started');
  while (open) {
    for (let n = 0; n < 99; n++) {
      attempt('renameSync', path, path + '.aside');
      attempt('symlinkSync', others[n % others.length], path);
      pause(0.1);
      attempt('unlinkSync', path);
      attempt('renameSync', path + '.aside', path);
      pause(0.3); // about as long as a mount takes
    }
    await new Promise(setImmediate);
  }`;

type Decoy = { readonly path: string; readonly anywhere: boolean };

function endOnDispose(child: ChildProcess): AsyncDisposable {
  const ended = once(child, 'exit');
  return {
    [Symbol.asyncDispose]: async () => {
      child.stdin?.end();
      await ended;
    },
  };
}

for (const where of ['target', 'parent', 'pod'] as const) {
  test(
    `volumes come and go below a ${where} that keeps turning into symlinks, and nothing behind those changes`,
    needs('root'),
    async t => {
      await using node = await kubeletDirectory();
      using mounter = openMounter(node);
      const { target, view } = node;
      const swapped = {
        target: target.path,
        parent: dirname(target.path),
        pod: join(node.kubeletDir, 'pods/uid'),
      }[where];

      const below = target.path.slice(swapped.length);

      // The targets of the symlinks: nothing, an empty directory, a foreign mount.
      const [absent, empty, mounted] = ['absent', 'empty', 'mounted'].map(name => ({
        path: join(node.path, name, 'x') + below,
        anywhere: true,
      })) as [Decoy, Decoy, Decoy];
      const decoys = [absent, empty, mounted];
      for (const { path } of decoys) mkdirSync(dirname(path), { recursive: true });
      mkdirSync(empty.path);
      await mounter.mount(view, mounted, []);
      const look = (): Promise<unknown> => Promise.all(decoys.map(decoy => mounter.state(decoy, view)));
      const untouched = await look();
      assert.deepEqual(untouched, [
        { kind: 'absent' },
        { kind: 'empty' },
        { kind: 'mounted', shows: 'view', readOnly: true },
      ]);

      const links = ['absent', 'empty', 'mounted'].map(name => join(node.path, name, 'x'));
      const child = spawn(process.execPath, ['--input-type=module', '-e', swapper(swapped, links)], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      await using swapping = endOnDispose(child);
      await once(child.stdout, 'data');
      const tally = { mounted: 0, unmounted: 0, refused: 0 };
      async function attempt(what: 'mounted' | 'unmounted', act: () => Promise<void>): Promise<void> {
        try {
          await act();
          tally[what]++;
        } catch (error) {
          assert.ok(error instanceof ArtifactError, String(error));
          if (error.code === 'invalid') tally.refused++;
        }
        assert.deepEqual(await look(), untouched);
      }
      for (const end = performance.now() + 700; performance.now() < end; ) {
        await attempt('mounted', () => mounter.mount(view, target, []));
        await attempt('unmounted', () => mounter.unmount(target));
      }
      await swapping[Symbol.asyncDispose]();
      t.diagnostic(JSON.stringify(tally));
      assert.ok(Math.min(tally.mounted, tally.unmounted, tally.refused) > 0, 'the race was met');

      // If the directory itself is moved between the kernel's lookup and its mount, the mount is on the moved
      // directory.
      const strays = mountsBelow(node.path).filter(({ mountPoint }) => mountPoint !== mounted.path);
      for (const { mountPoint } of strays) assert.ok(mountPoint.startsWith(swapped), mountPoint);
    },
  );
}
