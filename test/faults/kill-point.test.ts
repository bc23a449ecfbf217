import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { startChild, waitUntil } from '../support/node/child.ts';
import type { TestDaemon } from '../support/node/daemon.ts';
import { type Lives, openLives, type Volume } from '../support/node/lives.ts';
import {
  mountsAt,
  recordedTargets,
  shownOf,
  verifyBlobs,
  verifyGone,
  verifyVolume,
} from '../support/node/volume.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { needs, toolPath } from '../support/project/tools.ts';

/**
 * Where the daemon changes something that outlives it, it is killed just before: at the first, second, … such system
 * call of each thread, until one life reaches its end.
 */
const points = {
  publish: ['rename', 'mkdir', 'link', 'fsync', 'fdatasync', 'utimensat', 'open_tree', 'move_mount'],
  unpublish: ['umount2', 'unlinkat', 'unlink', 'utimensat'],
} as const;
const mostTimes = 6;

let lives: Lives;

before(async () => {
  lives = await openLives();
});
after(async () => {
  await lives?.[Symbol.asyncDispose]();
});

let pushed = 0;

/** An artifact of one file and one tar with directories and links, new to the node. */
async function newVolume(): Promise<Volume> {
  const files = ['a', 'b', 'c'].map(name => [`d/${name}`, randomBytes(10)] as const);
  const weights = randomBytes(300_000);
  const tar = await tarOf([
    [{ name: 'd/', type: 'directory' }],
    ...files.map(([name, bytes]) => [{ name }, bytes] as [{ name: string }, Buffer]),
  ]);
  const { reference } = await lives.registry.push('point', `v${++pushed}`, [
    { name: 'weights', bytes: weights },
    { bytes: gzip(tar), mediaType: 'application/vnd.acme.layer.v1.tar+gzip' },
  ]);
  return lives.volume(reference, shownOf([['weights', weights], ...files]));
}

/** Lets the daemon be killed when a thread of it enters a system call for the nth time from now on. */
async function arm(daemon: TestDaemon, syscall: string, nth: number) {
  const inject = `inject=${syscall}:signal=SIGKILL:when=${nth}`;
  const tracer = await startChild(toolPath('strace'), [
    '--follow-forks',
    `--attach=${daemon.pid}`,
    `--trace=${syscall}`,
    `--${inject}`,
  ]);
  await waitUntil(tracer, () => tracer.output().includes('attached'), 'attached');
  return tracer;
}

for (const [act, syscalls] of Object.entries(points)) {
  test(
    `killed at any step of ${act}, the daemon repeats it successfully`,
    needs('root', 'strace'),
    async t => {
      const counts: string[] = [];
      for (const syscall of syscalls) {
        let nth = 1;
        for (; nth <= mostTimes; nth++) {
          if (!(await survive(act, syscall, nth))) break;
        }
        assert.ok(nth > 1, `${act} makes no ${syscall}`);
        counts.push(`${syscall} ${nth - 1}`);
      }
      t.diagnostic(`kills: ${counts.join(', ')}`);
    },
  );
}

/** One kill and what must hold after it. Answers false where the work ended before it came. */
async function survive(act: string, syscall: string, nth: number): Promise<boolean> {
  const volume = await newVolume();
  const { request, shown } = volume;
  const target = request.target_path;
  let killed = false;
  {
    await using daemon = await lives.start();
    const perform = (): Promise<unknown> =>
      act === 'publish' ? daemon.csi.NodePublishVolume(request) : daemon.csi.NodeUnpublishVolume(request);
    if (act === 'unpublish') await daemon.csi.NodePublishVolume(request);
    await using _tracer = await arm(daemon, syscall, nth);
    try {
      await perform();
    } catch (error) {
      killed = true;
      await waitUntil(_tracer, () => !daemon.alive(), `killed, but ${String(error)}`);
    }
  }
  const mounts = mountsAt(target).length;
  assert.ok(mounts <= 1, `${mounts} mounts`);
  if (mounts === 1) {
    assert.ok(recordedTargets(lives.node.stateDir).includes(target), 'what is mounted has a record');
    verifyVolume(target, shown);
  }
  verifyBlobs(lives.node.stateDir);
  await using daemon = await lives.start();
  if (act === 'publish') {
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(target, shown);
  }
  await daemon.csi.NodeUnpublishVolume(request);
  verifyGone(target);
  assert.deepEqual(recordedTargets(lives.node.stateDir), []);
  return killed;
}
