import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { waitUntil } from '../support/child.ts';
import { publishRequest, startDaemon, type TestDaemon, type TestNode, testNode } from '../support/daemon.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/faulty-registry.ts';
import { outcomeOf } from '../support/outcome.ts';
import { gzip, tarOf } from '../support/tar.ts';
import { mountTmpfs } from '../support/tmpfs.ts';
import {
  recordedTargets,
  type Shown,
  shownOf,
  verifyBlobs,
  verifyGone,
  verifyVolume,
} from '../support/volume.ts';

const MiB = 1024 * 1024;
const tarType = 'application/vnd.acme.layer.v1.tar+gzip';

let registry: FaultyRegistry;
let stack: AsyncDisposableStack;

before(async () => {
  registry = await openFaultyRegistry();
});
after(async () => {
  await registry?.[Symbol.asyncDispose]();
});
afterEach(async () => {
  registry.fault(() => undefined);
  await stack.disposeAsync();
});

/** A node whose state dir is on a file system of its own, and what else lies there. */
async function startOn(options: string, flags: Readonly<Record<string, string>> = {}) {
  stack = new AsyncDisposableStack();
  const node: TestNode = stack.use(await testNode([registry.host]));
  const disk = mountTmpfs(join(node.path, 'disk'), options);
  const small: TestNode = { ...node, stateDir: join(disk, 'state') };
  const daemon: TestDaemon = stack.use(await startDaemon(small, { flags }));
  return { daemon, node: small, disk };
}

type Around = Awaited<ReturnType<typeof startOn>>;
type Volume = { readonly request: Awaited<ReturnType<typeof publishRequest>>; readonly shown: Shown };

let pushed = 0;

/** A volume of one file of its own. */
async function volumeOf(node: TestNode, bytes: number): Promise<Volume & { readonly digest: string }> {
  const content = randomBytes(bytes);
  const name = `disk-${++pushed}`;
  const { reference, layers } = await registry.push(name, 'v1', [{ name, bytes: content }]);
  const request = await publishRequest(node, { reference });
  return { request, shown: shownOf([[name, content]]), digest: layers[0]?.digest ?? '' };
}

/** A volume of a tar. */
async function tarVolume(node: TestNode, files: readonly (readonly [string, Buffer])[]): Promise<Volume> {
  const bytes = gzip(await tarOf(files.map(([name, content]) => [{ name }, content])));
  const { reference } = await registry.push(`disk-${++pushed}`, 'v1', [{ bytes, mediaType: tarType }]);
  return { request: await publishRequest(node, { reference }), shown: shownOf(files) };
}

async function publish({ daemon }: Around, { request, shown }: Volume): Promise<void> {
  await daemon.csi.NodePublishVolume(request);
  verifyVolume(request.target_path, shown);
}

/** The publish fails for want of room, and leaves nothing but what stood before. */
async function publishInVain(around: Around, volume: Volume, before: Volume, says: RegExp): Promise<void> {
  const { code, text } = await outcomeOf(around.daemon.csi.NodePublishVolume(volume.request));
  assert.equal(code, 'RESOURCE_EXHAUSTED', text);
  assert.match(text, says);
  verifyGone(volume.request.target_path);
  verifyVolume(before.request.target_path, before.shown);
  const { stateDir } = around.node;
  assert.deepEqual(recordedTargets(stateDir), [before.request.target_path]);
  assert.deepEqual(readdirSync(join(stateDir, 'ingest')), [], 'no partial file');
  assert.deepEqual(readdirSync(join(stateDir, 'tmp')), [], 'nothing half-made');
  verifyBlobs(stateDir);
}

describe('a disk that is too small', () => {
  test('fails a pull before its first byte, naming need and room', async () => {
    const around = await startOn('size=24m');
    const stands = await volumeOf(around.node, 2 * MiB);
    await publish(around, stands);
    const big = await volumeOf(around.node, 40 * MiB);
    await publishInVain(around, big, stands, /needs 40\.0 MiB more .* room for 2\d\.\d MiB/);
    assert.equal(registry.count('GET', big.digest), 0);
  });

  test('and is filled by another in mid-pull gives the partial file up, and takes it when there is room', async () => {
    const around = await startOn('size=32m');
    const { node, disk, daemon } = around;
    const stands = await volumeOf(node, 2 * MiB);
    await publish(around, stands);
    for (const size of [3 * MiB, 20 * MiB]) {
      const volume = await volumeOf(node, size);
      registry.fault(({ path }) =>
        path.endsWith(volume.digest) ? { kind: 'slow', bytesPerSecond: size } : undefined,
      );
      const failing = publishInVain(around, volume, stands, /disk of the cache is full/);
      failing.catch(() => {}); // looked at below
      await waitUntil(daemon, () => registry.count('GET', volume.digest) > 0, 'downloading');
      fill(disk);
      await failing;
      fill(disk); // with what the partial file gave back
      const other = await publishRequest(node, {
        reference: stands.request.volume_context?.['reference'] ?? '',
      });
      const { code } = await outcomeOf(daemon.csi.NodePublishVolume(other));
      assert.equal(code, 'RESOURCE_EXHAUSTED', 'a record cannot be written');
      verifyGone(other.target_path);

      rmSync(join(disk, 'filler'));
      registry.fault(() => undefined);
      await publish(around, volume);
      fill(disk);
      await daemon.csi.NodeUnpublishVolume(volume.request); // a full disk does not hold a pod back
      verifyGone(volume.request.target_path);
      rmSync(join(disk, 'filler'));
      await daemon.artifacts.Prune({});
    }
  });

  test('for what is in a tar fails the unpack and leaves nothing of it', async () => {
    const around = await startOn('size=24m');
    const stands = await volumeOf(around.node, MiB);
    await publish(around, stands);
    const zeros = Array.from({ length: 30 }, (_, nth) => [`f${nth}`, Buffer.alloc(MiB)] as const);
    await publishInVain(around, await tarVolume(around.node, zeros), stands, /disk of the cache is full/);
    await publish(around, await volumeOf(around.node, 10 * MiB));
  });

  test('in inodes fails the unpack, and then what needs few goes well', async () => {
    const around = await startOn('size=64m,nr_inodes=200');
    const stands = await volumeOf(around.node, MiB);
    await publish(around, stands);
    const many = Array.from({ length: 500 }, (_, nth) => [`f${nth}`, Buffer.from('x')] as const);
    await publishInVain(
      around,
      await tarVolume(around.node, many),
      stands,
      /disk of the cache is full|inodes/,
    );
    await publish(around, await volumeOf(around.node, MiB));
  });

  test('in inodes fails the view too', async () => {
    const around = await startOn('size=64m,nr_inodes=200');
    const stands = await volumeOf(around.node, MiB);
    await publish(around, stands);
    const layers = Array.from({ length: 50 }, (_, nth) => ({
      name: `a${nth}/b/c/f`,
      bytes: Buffer.from(`${nth}`),
    }));
    const { reference } = await registry.push('folders', 'v1', layers);
    const request = await publishRequest(around.node, { reference });
    const shown = shownOf(layers.map(({ name, bytes }) => [name, bytes]));
    await publishInVain(around, { request, shown }, stands, /disk of the cache is full|inodes/);
  });
});

/** Takes every byte that is left. */
function fill(disk: string): void {
  const chunk = Buffer.alloc(64 * 1024);
  try {
    for (;;) writeFileSync(join(disk, 'filler'), chunk, { flag: 'a' });
  } catch {
    // that was the last one
  }
}

describe('collection', () => {
  /** References of the cache, as `ls` says. */
  const held = async ({ daemon }: Around): Promise<readonly string[]> =>
    (await daemon.artifacts.List({})).artifacts?.map(({ reference }) => reference ?? '').sort() ?? [];
  const referenceOf = ({ request }: Volume): string => request.volume_context?.['reference'] ?? '';
  const use = async (around: Around, volume: Volume): Promise<void> => {
    await publish(around, volume);
    await around.daemon.csi.NodeUnpublishVolume(volume.request);
  };
  const references = (...volumes: readonly Volume[]): readonly string[] => volumes.map(referenceOf).sort();

  test('takes the least recently used first, and neither volumes nor pins', async () => {
    const around = await startOn('size=64m', { '--cache-max': '10MiB' });
    const { daemon, node } = around;
    const volume = (): Promise<Volume> => volumeOf(node, 3 * MiB);
    const [a, b, c, d, e, f] = [
      await volume(),
      await volume(),
      await volume(),
      await volume(),
      await volume(),
      await volume(),
    ];
    for (const each of [a, b, c]) await use(around, each);
    await use(around, a);
    await use(around, d);
    assert.deepEqual(await held(around), references(a, c, d), 'b was used least recently');

    await daemon.artifacts.Pin({ reference: referenceOf(c) });
    await publish(around, a);
    await use(around, e);
    assert.deepEqual(await held(around), references(a, c, e), 'c is pinned');
    await publish(around, e);
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(f.request));
    assert.equal(code, 'RESOURCE_EXHAUSTED', text);
    assert.match(text, /needs 3\.0 MiB more .*10\.0 MiB \(--cache-max\)/);
    verifyVolume(a.request.target_path, a.shown);
    verifyVolume(e.request.target_path, e.shown);

    await daemon.artifacts.Unpin({ reference: referenceOf(c) });
    await publish(around, f);
    assert.deepEqual(await held(around), references(a, e, f));
    verifyBlobs(node.stateDir);
  });

  test('begins at the high mark of the disk and ends at the low one', async () => {
    const around = await startOn('size=40m', { '--cache-high': '75', '--cache-low': '50' });
    const volumes: Volume[] = [];
    for (let nth = 0; nth < 4; nth++) {
      volumes.push(await volumeOf(around.node, 8 * MiB));
      const last = volumes.at(-1);
      if (last !== undefined) await use(around, last);
    }
    assert.deepEqual(await held(around), references(...volumes.slice(2)));
    const big = await volumeOf(around.node, 31 * MiB);
    const { code, text } = await outcomeOf(around.daemon.csi.NodePublishVolume(big.request));
    assert.equal(code, 'RESOURCE_EXHAUSTED', text);
    assert.match(text, /room for (29|30)\.\d MiB below 75 % \(--cache-high\)/);
  });

  test('by prune leaves volumes, pins and pulls under way', async () => {
    const around = await startOn('size=64m');
    const { daemon, node } = around;
    const [unused, mounted, pinned] = [
      await volumeOf(node, MiB),
      await volumeOf(node, MiB),
      await volumeOf(node, MiB),
    ];
    for (const each of [unused, mounted, pinned]) await use(around, each);
    await publish(around, mounted);
    await daemon.artifacts.Pin({ reference: referenceOf(pinned) });

    const bytes = [randomBytes(100_000), randomBytes(4 * MiB)] as const;
    const { reference, layers } = await registry.push('coming', 'v1', [
      { name: 'quick', bytes: bytes[0] },
      { name: 'slow', bytes: bytes[1] },
    ]);
    const slow = layers[1]?.digest ?? '';
    registry.fault(({ path }) =>
      path.endsWith(slow) ? { kind: 'slow', bytesPerSecond: 3 * MiB } : undefined,
    );
    const coming = await publishRequest(node, { reference });
    const call = daemon.csi.NodePublishVolume(coming);
    const quick = join(node.stateDir, 'blobs', (layers[0]?.digest ?? '').replace(':', '/'));
    await waitUntil(daemon, () => statSync(quick, { throwIfNoEntry: false }) !== undefined, 'half here');
    const { freed } = await daemon.artifacts.Prune({});
    assert.equal(freed?.artifacts, 1);
    assert.ok((freed?.bytes ?? 0) >= MiB, `${freed?.bytes} bytes`);
    await call;
    verifyVolume(
      coming.target_path,
      shownOf([
        ['quick', bytes[0]],
        ['slow', bytes[1]],
      ]),
    );
    assert.equal(registry.count('GET', layers[0]?.digest ?? ''), 1, 'what had come was not asked for again');
    verifyVolume(mounted.request.target_path, mounted.shown);
    assert.deepEqual(await held(around), [...references(mounted, pinned), reference].sort());
  });
});
