import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
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
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';

/**
 * The daemon is killed at random moments of one node's life. What it answered OK must hold while it is dead and when it
 * is back; what it was asked must succeed when it is asked again.
 */

const MiB = 1024 * 1024;
let lives: Lives;

before(async () => {
  lives = await openLives();
});
after(async () => {
  await lives?.[Symbol.asyncDispose]();
});

/** The entries of a directory in the state directory. */
const inState = (directory: string): readonly string[] => {
  const path = join(lives.node.stateDir, directory);
  return existsSync(path) ? readdirSync(path) : [];
};

test('a killed download continues from the byte that it reached', async t => {
  const { registry } = lives;
  const sizes = { 'weights.bin': 12 * MiB, 'vocabulary.bin': 3 * MiB };
  registry.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: 24 * MiB } : undefined,
  );
  const blobs = () =>
    registry.asked.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'));
  const resumes = () => blobs().filter(({ headers }) => headers.range !== undefined).length;
  const publishOne = async (nth: number): Promise<Volume> => {
    const files = Object.entries(sizes).map(([name, bytes]) => ({ name, bytes: randomBytes(bytes) }));
    const { reference } = await registry.push('download', `v${nth}`, files);
    return lives.volume(reference, shownOf(files.map(({ name, bytes }) => [name, bytes])));
  };
  const volumes = await lives.publishUnderFire(32, publishOne, () => resumes() >= 3);
  registry.fault(() => undefined);
  const kills = lives.kills();
  const sent = blobs().reduce((sum, { path, nth }) => (nth === 1 ? sum + registry.sent(path) : sum), 0) / MiB;
  t.diagnostic(
    `seed ${lives.random.seed}: ${kills} kills, ${volumes.length} artifacts of 15 MiB, ${blobs().length} requests for blobs, ` +
      `${resumes()} with Range, ${sent.toFixed(0)} MiB sent`,
  );
  // How many kills land in a download, and how much of it the kernel had not handed over, depends on the machine.
  assert.ok(resumes() >= 3, `${resumes()} downloads were resumed`);
  const twice = sent - volumes.length * 15;
  assert.ok(
    twice < (kills * 15) / 4,
    `${twice} MiB were sent twice in ${kills} lives, of artifacts of 15 MiB`,
  );
});

test('a killed unpacking starts again from the downloaded bytes', async t => {
  const { registry } = lives;
  const [before, killsBefore] = [registry.asked.length, lives.kills()];
  let halves = 0;
  const volumes = await lives.publishUnderFire(
    22,
    async nth => {
      const files = Array.from({ length: 500 }, (_, i) => [`d${i % 30}/f${i}`, randomBytes(600)] as const);
      const bytes = gzip(await tarOf(files.map(([name, content]) => [{ name }, content])));
      const layer = { bytes, mediaType: 'application/vnd.acme.layer.v1.tar+gzip' };
      const { reference } = await registry.push('unpack', `v${nth}`, [layer]);
      return lives.volume(reference, shownOf(files));
    },
    () => halves >= 8,
    () => {
      if (inState('tmp').length > 0) halves++;
    },
  );
  const blobs = registry.asked
    .slice(before)
    .filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'));
  t.diagnostic(
    `${lives.kills() - killsBefore} kills, ${volumes.length} artifacts of 500 files, ${halves} left something half-made, ${blobs.length} requests for blobs`,
  );
  assert.ok(halves >= 8, `${halves} kills came while something was half-made`);
});

test('a daemon killed while it publishes and unpublishes leaves at most one mount at each target', async t => {
  const { registry, node, random } = lives;
  const files = [
    ['config.json', '{}'],
    ['w/model.bin', randomBytes(MiB)],
  ] as const;
  const layers = files.map(([name, bytes]) => ({ name, bytes: Buffer.from(bytes) }));
  const tar = await tarOf(files.map(([name, content]) => [{ name }, content]));
  const mediaType = 'application/vnd.acme.layer.v1.tar';
  const tree = await registry.push('mounts', 'tree', layers);
  const image = await registry.push('mounts', 'image', [{ bytes: tar, mediaType }]);
  type State = 'published' | 'unpublished' | 'publishing' | 'unpublishing';
  const slots = await Promise.all(
    Array.from({ length: 8 }, async (_, nth) => ({
      ...(await lives.volume((nth % 2 === 0 ? tree : image).reference, shownOf(files))),
      state: 'unpublished' as State,
    })),
  );
  type Slot = (typeof slots)[number];
  const found = { unmounted: 0, inFlight: 0, cycles: 0 };

  const step = async (daemon: TestDaemon, slot: Slot): Promise<void> => {
    if (slot.state === 'unpublished' || slot.state === 'publishing') {
      slot.state = 'publishing';
      await daemon.csi.NodePublishVolume(slot.request);
      slot.state = 'published';
    } else {
      slot.state = 'unpublishing';
      await daemon.csi.NodeUnpublishVolume(slot.request);
      slot.state = 'unpublished';
    }
  };
  const cycle = async (daemon: TestDaemon, slot: Slot): Promise<void> => {
    for (;;) {
      await step(daemon, slot);
      if (slot.state === 'published') verifyVolume(slot.request.target_path, slot.shown);
      else verifyGone(slot.request.target_path);
      found.cycles++;
      if (random.next() < 0.05) return;
    }
  };
  const verifySlots = (): void => {
    const recorded = new Set(recordedTargets(node.stateDir));
    for (const { request, state, shown } of slots) {
      const { target_path: target } = request;
      const mounts = mountsAt(target).length;
      if (mounts === 1) assert.ok(recorded.has(target), `what is mounted at ${target} has a record`);
      if (mounts === 0 && recorded.has(target)) found.unmounted++;
      if (state === 'published') verifyVolume(target, shown);
      else if (state === 'unpublished') verifyGone(target);
      else {
        found.inFlight++;
        assert.ok(mounts <= 1, `${mounts} mounts at ${target}`);
      }
    }
  };
  const isEnough = (): boolean => found.inFlight >= 36 && found.cycles >= 36;
  let kills = 0;
  for (; kills < 36 || (kills < 144 && !isEnough()); kills++) {
    await lives.live(async daemon => {
      await Promise.all(slots.map(slot => cycle(daemon, slot)));
    }, slots);
    verifySlots();
  }
  t.diagnostic(
    `${kills} kills in ${found.cycles} calls; ${found.inFlight} calls were killed, ${found.unmounted} of them with a record and no mount`,
  );
  assert.ok(isEnough(), `${found.cycles} calls were answered, and kills came in ${found.inFlight}`);
  await using daemon = await lives.start();
  for (const slot of slots) {
    if (slot.state === 'publishing' || slot.state === 'unpublishing') await step(daemon, slot);
    if (slot.state === 'published') await step(daemon, slot);
    verifyGone(slot.request.target_path);
  }
});

test('after a kill between record and mount, the same publish succeeds', async () => {
  const { registry, node } = lives;
  const { reference } = await registry.push('record', 'v1', [{ name: 'f', bytes: Buffer.from('x') }]);
  const volume = await lives.volume(reference, shownOf([['f', 'x']]));
  const target = volume.request.target_path;
  {
    await using daemon = await lives.start();
    await daemon.csi.NodePublishVolume(volume.request);
    await daemon.end('SIGKILL');
  }
  for (const directory of ['kept', 'gone']) {
    unmountBelow(target); // what is left is what a kill after the record leaves
    if (directory === 'gone') rmdirSync(target);
    await using daemon = await lives.start();
    await daemon.csi.NodePublishVolume(volume.request);
    verifyVolume(target, volume.shown);
    await daemon.end('SIGKILL');
  }
  assert.ok(recordedTargets(node.stateDir).includes(target));
  lives.published.push(volume);
});

test('a daemon that was killed during its start starts again', async () => {
  for (let kill = 0; kill < 16; kill++) await lives.killStart();
});

test('after more than 100 kills nothing is lost, and unpublishing leaves nothing', async t => {
  const { node, published } = lives;
  t.diagnostic(`${lives.kills()} kills, ${published.length} volumes stand`);
  assert.ok(lives.kills() > 100);
  await using daemon = await lives.start();
  for (const { request, shown } of published) {
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, shown);
  }
  verifyBlobs(node.stateDir);
  await lives.retire(daemon, 0);
  assert.deepEqual(mountsBelow(node.kubeletDir), []);
  await daemon.artifacts.Prune({});
  assert.equal(await daemon.end('SIGTERM'), 0);
  for (const directory of [
    'volumes',
    'views',
    'names',
    'ingest',
    'tmp',
    'blobs/sha256',
    'layers/bodies/sha256',
  ])
    assert.deepEqual(inState(directory), [], directory);
  const beside = readdirSync(dirname(node.socket)).filter(
    name => name.endsWith('.sock') || name.startsWith('.'),
  );
  assert.deepEqual(beside, []);
});
