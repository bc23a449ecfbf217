import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { mountsBelow } from '../os/mounts.ts';
import { openRandom, type Random } from '../os/random.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../registry/faulty-registry.ts';
import {
  publishRequest,
  spawnDaemon,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from './daemon.ts';
import { imagesOf, listImages } from './image-directory.ts';
import { type Shown, verifyBlobs, verifyGone, verifyVolume } from './volume.ts';

export type Request = Awaited<ReturnType<typeof publishRequest>>;
export type Volume = { readonly request: Request; readonly shown: Shown };

/** A node on which the daemon is killed many times. */
export type Lives = AsyncDisposable & {
  readonly node: TestNode;
  readonly registry: FaultyRegistry;
  readonly random: Random;
  /** Published volumes: they must stay whether a daemon runs or not. */
  readonly published: Volume[];
  readonly kills: () => number;
  /** A volume of a new pod that shows an artifact. */
  volume(reference: string, shown: Shown): Promise<Volume>;
  start(): Promise<TestDaemon>;
  /**
   * Starts the daemon, lets it work, and kills it before it has worked for as long as it took to start: so a slow or
   * busy machine gets as far in one life as a fast one. An error of the work counts unless the kill caused it. Then,
   * without a daemon, every published volume has its one mount, the volumes in progress have one or none, and nothing
   * else is mounted; every blob has the bytes of its name; one random published volume is read in full.
   */
  live(work: (daemon: TestDaemon) => Promise<void>, underWay?: readonly Volume[]): Promise<void>;
  /** Kills the daemon while it starts, or soon after. */
  killStart(): Promise<void>;
  /**
   * Publishes one volume after another; one whose publish was killed is published again in the next life. It kills so
   * many times, and up to four times as many until `isEnough`: the moments of the kills are random.
   */
  publishUnderFire(
    kills: number,
    next: (nth: number) => Promise<Volume>,
    isEnough: () => boolean,
    afterKill?: () => void,
  ): Promise<readonly Volume[]>;
  /** Unpublishes volumes until so many are left. */
  retire(daemon: TestDaemon, left: number): Promise<void>;
};

const longestStartMs = 700;

export async function openLives(): Promise<Lives> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await openFaultyRegistry());
  const node = stack.use(await testNode([registry.host]));
  const random = openRandom();
  const published: Volume[] = [];
  let kills = 0;

  const env = { NODE_COMPILE_CACHE: join(node.path, 'compiled') };
  const start = async (): Promise<TestDaemon> => {
    const daemon = await startDaemon(node, { env });
    verifyImages();
    return daemon;
  };
  {
    await using first = await start();
    await first.end('SIGTERM'); // writes the compile cache, so that later starts are faster
  }

  /** A daemon that has started has ended the images that no volume shows. */
  function verifyImages(): void {
    const shown = new Set(mountsBelow(join(node.kubeletDir, 'pods')).map(({ device }) => device));
    const images = mountsBelow(imagesOf(node));
    assert.deepEqual(
      images.filter(({ device }) => !shown.has(device)),
      [],
    );
  }

  function verifyMounted(underWay: readonly Volume[]): void {
    const mounted = mountsBelow(node.kubeletDir).map(({ mountPoint }) => mountPoint);
    const once = new Set(mounted);
    assert.equal(mounted.length, once.size, 'nothing is mounted twice');
    for (const image of listImages(node)) once.delete(image); // of volumes, or a leftover until the next start
    for (const { request } of published)
      assert.ok(once.delete(request.target_path), `${request.target_path} has one mount`);
    for (const { request } of underWay) once.delete(request.target_path);
    assert.deepEqual([...once], [], 'nothing is mounted that was not asked for');
    verifyBlobs(node.stateDir);
    const chosen = published[Math.floor(random.next() * published.length)];
    if (chosen !== undefined) verifyVolume(chosen.request.target_path, chosen.shown);
  }

  async function live(
    work: (daemon: TestDaemon) => Promise<void>,
    underWay: readonly Volume[] = [],
  ): Promise<void> {
    const begun = performance.now();
    await using daemon = await start();
    const longestLifeMs = performance.now() - begun;
    let killed = false;
    const working = work(daemon).catch((error: unknown) => {
      if (!killed) return { error };
    });
    await sleep(random.next() * longestLifeMs);
    killed = true;
    assert.equal(await daemon.end('SIGKILL'), 'SIGKILL', daemon.output());
    kills++;
    const failure = await working;
    if (failure !== undefined) throw failure.error;
    verifyMounted(underWay);
  }

  async function killStart(): Promise<void> {
    await using daemon = await spawnDaemon(node, { env });
    await sleep(random.next() * longestStartMs);
    assert.equal(await daemon.end('SIGKILL'), 'SIGKILL', daemon.output());
    kills++;
    verifyMounted([]);
  }

  async function retire(daemon: TestDaemon, left: number): Promise<void> {
    for (const { request } of published.splice(0, published.length - left)) {
      await daemon.csi.NodeUnpublishVolume(request);
      verifyGone(request.target_path);
    }
  }

  async function publishUnderFire(
    times: number,
    next: (nth: number) => Promise<Volume>,
    isEnough: () => boolean,
    afterKill: () => void = () => {},
  ): Promise<readonly Volume[]> {
    const answered: Volume[] = [];
    let volume = await next(0);
    const publish = async (daemon: TestDaemon): Promise<void> => {
      await daemon.csi.NodePublishVolume(volume.request);
      answered.push(volume);
    };
    const land = (): void => {
      verifyVolume(volume.request.target_path, volume.shown);
      published.push(volume);
    };
    for (let kill = 0; kill < times || (kill < 4 * times && !isEnough()); kill++) {
      await live(publish, [volume]);
      afterKill();
      if (answered.at(-1) !== volume) continue;
      land();
      volume = await next(answered.length);
    }
    await using daemon = await start();
    await publish(daemon);
    land();
    return answered;
  }

  const resources = stack.move();
  return {
    node,
    registry,
    random,
    published,
    kills: () => kills,
    volume: async (reference, shown) => ({ request: await publishRequest(node, { reference }), shown }),
    start,
    live,
    killStart,
    publishUnderFire,
    retire,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
