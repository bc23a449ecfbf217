import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Digest } from '../../src/oci/digest.ts';
import { partialName } from '../../src/store/blobs/ingest.ts';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest, startDaemon } from '../support/node/daemon.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { shownOf, verifyBlobs, verifyVolume } from '../support/node/volume.ts';
import { openSmallDisk, type SmallDisk, type SmallVolume } from '../support/os/small-disk.ts';

const MiB = 1024 * 1024;

describe('collection', () => {
  /** References of the cache, as `ls` says. */
  const held = async ({ daemon }: Pick<SmallDisk, 'daemon'>): Promise<readonly string[]> =>
    (await daemon.artifacts.List({})).artifacts?.map(({ reference }) => reference ?? '').sort() ?? [];
  const use = async (around: SmallDisk, volume: SmallVolume): Promise<void> => {
    await around.publish(volume);
    await around.daemon.csi.NodeUnpublishVolume(volume.request);
  };
  const references = (...volumes: readonly SmallVolume[]): readonly string[] =>
    volumes.map(({ reference }) => reference).sort();

  test('removes the least recently used first, and neither volumes nor pins', async () => {
    await using around = await openSmallDisk('size=64m', { '--cache-max': '10MiB' });
    const { daemon, node } = around;
    const volume = (): Promise<SmallVolume> => around.volume(3 * MiB);
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

    await daemon.artifacts.Pin({ reference: c.reference });
    await around.publish(a);
    await use(around, e);
    assert.deepEqual(await held(around), references(a, c, e), 'c is pinned');
    await around.publish(e);
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(f.request));
    assert.equal(code, 'RESOURCE_EXHAUSTED', text);
    assert.match(text, /needs 3\.0 MiB more .*10\.0 MiB in all \(--cache-max\)/);
    verifyVolume(a.request.target_path, a.shown);
    verifyVolume(e.request.target_path, e.shown);

    await daemon.artifacts.Unpin({ reference: c.reference });
    await around.publish(f);
    assert.deepEqual(await held(around), references(a, e, f));
    verifyBlobs(node.stateDir);
  });

  test('begins at the high mark of the disk and ends at the low mark', async () => {
    await using around = await openSmallDisk('size=40m', {
      '--disk-max': '75',
      '--cache-high': '75',
      '--cache-low': '50',
    });
    const volumes: SmallVolume[] = [];
    for (let nth = 0; nth < 4; nth++) {
      volumes.push(await around.volume(8 * MiB));
      const last = volumes.at(-1);
      if (last !== undefined) await use(around, last);
    }
    assert.deepEqual(await held(around), references(...volumes.slice(2)));
    const big = await around.volume(31 * MiB);
    const { code, text } = await outcomeOf(around.daemon.csi.NodePublishVolume(big.request));
    assert.equal(code, 'RESOURCE_EXHAUSTED', text);
    assert.match(text, /room for (29|30)\.\d MiB below --disk-max \(75\)/);
  });

  test('is announced by the status of a node whose disk is above a mark', async () => {
    await using around = await openSmallDisk('size=40m', { '--cache-high': '10', '--cache-low': '5' });
    await around.publish(await around.volume(8 * MiB)); // in use, so it stays
    const { problems } = await around.daemon.artifacts.GetStatus({});
    assert.deepEqual(problems, [
      'the disk is above --cache-high (10): unused content is collected, unless it is pinned',
    ]);
  });

  test('by prune keeps volumes, pins and pulls in progress', async () => {
    await using around = await openSmallDisk('size=64m');
    const { daemon, node } = around;
    const [unused, mounted, pinned] = [
      await around.volume(MiB),
      await around.volume(MiB),
      await around.volume(MiB),
    ];
    for (const each of [unused, mounted, pinned]) await use(around, each);
    await around.publish(mounted);
    await daemon.artifacts.Pin({ reference: pinned.reference });

    const bytes = [randomBytes(100_000), randomBytes(4 * MiB)] as const;
    const { reference, layers } = await around.registry.push('coming', 'v1', [
      { name: 'quick', bytes: bytes[0] },
      { name: 'slow', bytes: bytes[1] },
    ]);
    const slow = layers[1]?.digest ?? '';
    around.registry.fault(({ path }) =>
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
    assert.equal(
      around.registry.count('GET', layers[0]?.digest ?? ''),
      1,
      'what had come was not asked for again',
    );
    verifyVolume(mounted.request.target_path, mounted.shown);
    assert.deepEqual(await held(around), [...references(mounted, pinned), reference].sort());
  });

  test('removes abandoned downloads before anything that can be mounted', async () => {
    await using around = await openSmallDisk('size=32m');
    const { daemon, node, registry } = around;
    const cached = await around.volume(2 * MiB);
    await use(around, cached);
    const left = await around.volume(16 * MiB);
    registry.fault(({ path }) =>
      path.endsWith(left.digest) ? { kind: 'stall', after: 12 * MiB } : undefined,
    );
    const call = outcomeOf(daemon.csi.NodePublishVolume(left.request, { deadline: Date.now() + 60_000 }));
    const blob = { digest: left.digest as Digest, size: 16 * MiB };
    const partial = join(node.stateDir, 'ingest', partialName(blob, registry.host));
    const size = (): number => statSync(partial, { throwIfNoEntry: false })?.size ?? 0;
    await waitUntil(daemon, () => size() >= 11 * MiB, 'downloading');
    await daemon.end('SIGTERM');
    assert.equal((await call).code, 'UNAVAILABLE');
    assert.ok(size() >= 11 * MiB);

    await using next = await startDaemon(node);
    const big = await around.volume(24 * MiB);
    await next.csi.NodePublishVolume(big.request);
    verifyVolume(big.request.target_path, big.shown);
    assert.equal(size(), 0);
    assert.deepEqual(await held({ daemon: next }), references(cached, big));
  });
});
