import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { spawnDaemon, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { recordedTargets, verifyBlobs } from '../support/node/volume.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import type { Random } from '../support/os/random.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { type MovingTag, openMovingTags } from './moving-tags.ts';
import { openPods, type PodVolume } from './pods.ts';

const podCount = 8;
const longestLifeMs = 350;
const longestStartMs = 250;
const MiB = 1024 * 1024;

/** The totals of a run of kills. */
export type Endurance = {
  readonly kills: number;
  readonly killedCalls: number;
  readonly calls: number;
  readonly reboots: number;
  readonly moves: number;
};

/**
 * Kills the daemon of one node so many times: while it starts, publishes, unpublishes, pulls, prunes, pins and removes,
 * while tags move and the registry is slow or cuts. Some kills are power cuts that remove every mount, and the registry
 * is unreachable when the node returns.
 *
 * @throws AssertionError at the first wrong byte, lost volume, or unexpected mount.
 */
export async function endure(
  program: string | undefined,
  kills: number,
  random: Random,
  report: (soFar: Endurance) => void,
): Promise<Endurance> {
  await using registry = await openFaultyRegistry();
  await using node = await testNode([registry.host]);
  const { tags, move } = await openMovingTags(registry, random);
  const pods = openPods(node, random);
  const options = {
    // Space for what is in use and for what is unpacked ahead: a refusal would not be an error.
    flags: { '--log-level': 'warn', '--cache-max': '16MiB' },
    ...(program === undefined ? {} : { program }),
  };
  const count = { kills: 0, killedCalls: 0, calls: 0, reboots: 0, moves: 0 };
  const oneOf = <T>(list: readonly T[]): T | undefined => list[Math.floor(random.next() * list.length)];
  const anyTag = (): MovingTag | undefined => oneOf(tags);

  /** kubelet's side: each pod's volume is published and unpublished, again and again. */
  const live = async (daemon: TestDaemon, isKilled: () => boolean): Promise<void> => {
    const cycle = async (volume: PodVolume): Promise<void> => {
      while (!isKilled() && pods.volumes.has(volume)) {
        count.calls++;
        await pods.step(daemon, volume);
      }
    };
    await Promise.all([...pods.volumes].map(cycle));
  };
  /** The user's side: a refusal because of a volume or a pin is an answer too. */
  const operate = async (daemon: TestDaemon, isKilled: () => boolean): Promise<void> => {
    while (!isKilled()) {
      const reference = anyTag()?.reference ?? '';
      const { artifacts } = daemon;
      const act = oneOf([
        () => artifacts.Prune({}),
        () => artifacts.Remove({ reference }),
        () => artifacts.Pin({ reference }),
        () => artifacts.Unpin({ reference }),
        () => artifacts.List({}),
      ]);
      if (act === undefined) return;
      const { code, text } = await outcomeOf(act());
      const isAnswer = ['OK', 'NOT_FOUND', 'PERMISSION_DENIED', 'ABORTED', 'FAILED_PRECONDITION'];
      if (!isKilled()) assert.ok(isAnswer.includes(code), `${code} ${text}`);
      await sleep(random.next() * 60);
    }
  };

  const verify = (): void => {
    const asked = new Set([...pods.volumes].map(({ request }) => request.target_path));
    const stray = mountsBelow(node.kubeletDir).filter(({ mountPoint }) => !asked.has(mountPoint));
    assert.deepEqual(stray, [], 'nothing is mounted that was not asked for');
    verifyBlobs(node.stateDir);
    pods.verify(oneOf([...pods.volumes]));
  };

  const oneLife = async (): Promise<void> => {
    while (pods.volumes.size < podCount) await pods.add(anyTag() ?? assert.fail('no tag'));
    const chance = random.next();
    registry.fault(({ path }) => {
      if (!path.includes('/blobs/') || chance > 0.5) return undefined;
      return chance < 0.25
        ? { kind: 'slow', bytesPerSecond: 2 * MiB }
        : { kind: 'cut', after: Math.floor(random.next() * 30_000) };
    });
    await using daemon = await startDaemon(node, options);
    let killed = false;
    const isKilled = (): boolean => killed;
    const working = [live(daemon, isKilled), operate(daemon, isKilled)].map(work =>
      work.catch((error: unknown) => {
        if (!killed) return { error };
        count.killedCalls++;
        return undefined;
      }),
    );
    if (random.next() < 0.3) {
      const tag = anyTag();
      if (tag !== undefined) await move(tag.repository);
      count.moves++;
    }
    await sleep(random.next() * longestLifeMs);
    killed = true;
    assert.equal(await daemon.end('SIGKILL'), 'SIGKILL', daemon.output());
    count.kills++;
    for (const failure of await Promise.all(working)) if (failure !== undefined) throw failure.error;
    verify();
  };

  const killStart = async (): Promise<void> => {
    await using daemon = await spawnDaemon(node, options);
    await sleep(random.next() * longestStartMs);
    assert.equal(await daemon.end('SIGKILL'), 'SIGKILL', daemon.output());
    count.kills++;
    verify();
  };

  /** Every mount is gone and no registry answers: all volumes are mounted again all the same. */
  const reboot = async (): Promise<void> => {
    unmountBelow(node.kubeletDir);
    registry.fault(() => ({ kind: 'status', status: 503 }));
    await using daemon = await startDaemon(node, options);
    for (const volume of pods.volumes) if (volume.state === 'published') await remount(daemon, volume);
    count.reboots++;
    assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
    verify();
  };
  const remount = async (daemon: TestDaemon, volume: PodVolume): Promise<void> => {
    volume.state = 'publishing';
    await pods.step(daemon, volume);
  };

  while (count.kills < kills) {
    const chance = random.next();
    if (chance < 0.1) await killStart();
    else await oneLife();
    if (random.next() < 0.06) await reboot();
    if (count.kills % 50 === 0) report(count);
  }

  registry.fault(() => undefined);
  await using daemon = await startDaemon(node, options);
  await pods.settle(daemon);
  for (const volume of pods.volumes) {
    volume.state = 'unpublishing';
    await pods.step(daemon, volume);
  }
  for (const { reference } of tags) await outcomeOf(daemon.artifacts.Unpin({ reference }));
  await daemon.artifacts.Prune({});
  assert.deepEqual(mountsBelow(node.kubeletDir), [], 'no mount is left');
  assert.deepEqual(recordedTargets(node.stateDir), [], 'no record of a volume is left');
  assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
  return count;
}
