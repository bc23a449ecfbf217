import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, hash, randomBytes } from 'node:crypto';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Digest, toDigest } from '../../src/oci/digest.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import type { TocEntry } from '../../src/tree/toc.ts';
import { toArtifactError } from '../../src/util/error.ts';
import { startChild, waitUntil } from '../support/node/child.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { shownOf, verifyVolume } from '../support/node/volume.ts';
import { placeOfBody, writeToc } from '../support/oci/toc.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { mountTmpfs } from '../support/os/tmpfs.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const never = new AbortController().signal;
const digests = ['a', 'b'].map(letter => toDigest('sha256', letter.repeat(64)));

/** A disk that takes what is written and has room for less of it: the kernel finds that out when it writes back. */
function mountThinDisk(directory: string): string {
  const image = join(mountTmpfs(join(directory, 'backing'), 'size=28m'), 'image');
  writeFileSync(image, '');
  truncateSync(image, 512 << 20);
  // Nothing of its own may be written late, so that only bodies are lost.
  const plain = ['-O', '^has_journal,^metadata_csum', '-N', '4096', '-E', 'nodiscard,lazy_itable_init=0'];
  execFileSync('mkfs.ext4', ['-q', ...plain, image]);
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-o', 'loop,nodiscard,errors=continue', image, disk]);
  return disk;
}

async function stageLayer(store: Store, digest: Digest) {
  const stage = await store.layers.stage(digest);
  const entries = Array.from({ length: 70 }, (_, body): TocEntry => {
    const bytes = randomBytes(300_000);
    writeFileSync(placeOfBody(stage.path, body), bytes);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return {
      kind: 'file',
      path: `${body}`,
      size: bytes.length,
      body,
      sha256,
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 0n,
    };
  });
  return { stage, summary: writeToc(stage.path, { digest, diffId: digest, notes: [], entries }) };
}

test(
  'a blob that a failing disk may have lost is removed, and those that were durable before stay',
  needs('root', 'mkfs.ext4'),
  async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore({ stateDir: join(mountThinDisk(directory.path), 'state') });
    store.durability.follow(async lost => {
      for (const stored of lost) if (stored.kind === 'blobs') await store.blobs.remove(stored.digest);
    });
    const putAll = async (count: number): Promise<readonly Digest[]> => {
      const blobs = Array.from({ length: count }, () => randomBytes(400_000));
      const digests = blobs.map(bytes => toDigest('sha256', hash('sha256', bytes)));
      for (const [nth, digest] of digests.entries()) await store.blobs.put(digest, blobs[nth] ?? Buffer.of());
      return digests;
    };
    const first = await putAll(20);
    await store.durability.settle(first, 'none', never);
    const settled: Digest[] = [...first];
    for (const digest of await putAll(100)) {
      try {
        await store.durability.settle([digest], 'none', never);
        settled.push(digest);
      } catch (thrown) {
        assert.match(toArtifactError(thrown).message, /^writing to the disk: /);
        assert.equal(await store.blobs.size(digest), undefined);
      }
    }
    assert.ok(settled.length < 120, 'the disk has no room for all');
    // What is lost is still there as long as the kernel remembers it.
    writeFileSync('/proc/sys/vm/drop_caches', '1');
    for (const digest of settled) assert.equal(await store.blobs.check(digest, never), undefined);
    await store[Symbol.asyncDispose]();
  },
);

test(
  'a layer that a failing disk may have lost is removed, and one that was durable before stays',
  needs('root', 'mkfs.ext4'),
  async () => {
    await using directory = await temporaryDirectory();
    const store = await openStore({ stateDir: join(mountThinDisk(directory.path), 'state') });
    store.durability.follow(async lost => {
      for (const stored of lost) if (stored.kind === 'layers') await store.layers.remove(stored.digest);
    });
    const settled: Digest[] = [];
    for (const digest of digests) {
      const { stage, summary } = await stageLayer(store, digest);
      await stage.commit(summary);
      try {
        await store.durability.settle([digest], 'none', never);
        settled.push(digest);
      } catch (thrown) {
        assert.match(toArtifactError(thrown).message, /^writing to the disk: /);
        assert.equal(await store.layers.has(digest), false);
      }
    }
    assert.deepEqual(settled, digests.slice(0, 1), 'the disk has room for one');
    // What is lost is still there as long as the kernel remembers it.
    writeFileSync('/proc/sys/vm/drop_caches', '1');
    for (const digest of settled) assert.equal(await store.layers.check(digest, never), undefined);
    await store[Symbol.asyncDispose]();
  },
);

test(
  'a volume whose content the disk refuses after the mount stays, is abnormal, and the next pod gets the content again',
  needs('root', 'strace'),
  async () => {
    await using registry = await openFaultyRegistry();
    await using node = await testNode([registry.host]);
    await using daemon = await startDaemon(node);
    const files = Array.from({ length: 70 }, (_, nth) => [`file-${nth}`, randomBytes(100)] as const);
    const { reference } = await registry.push(
      'refused',
      'v1',
      files.map(([name, bytes]) => ({ name, bytes })),
    );
    const [first, second] = [
      await publishRequest(node, { reference }),
      await publishRequest(node, { reference }),
    ];
    const conditionOf = async ({ volume_id, target_path }: typeof first) =>
      (await daemon.csi.NodeGetVolumeStats({ volume_id, volume_path: target_path })).volume_condition;
    const blobsAsked = () => registry.asked.filter(({ path }) => path.includes('/blobs/')).length;
    {
      const args = [
        '--follow-forks',
        `--attach=${daemon.pid}`,
        '--trace=syncfs',
        '--inject=syncfs:error=EIO',
      ];
      await using tracer = await startChild(toolPath('strace'), args);
      await waitUntil(tracer, () => tracer.output().includes('attached'), 'attached');
      await daemon.csi.NodePublishVolume(first);
      verifyVolume(first.target_path, shownOf(files));
      const isTold = async () =>
        /could not be written to the disk: .*EIO/.test((await conditionOf(first))?.message ?? '');
      await waitUntil(daemon, isTold, 'its condition says so');
    }
    assert.equal((await conditionOf(first))?.abnormal, true);
    verifyVolume(first.target_path, shownOf(files));
    const before = blobsAsked();
    await daemon.csi.NodePublishVolume(second);
    assert.ok(blobsAsked() >= before + files.length, 'all of it is pulled again');
    verifyVolume(second.target_path, shownOf(files));
    assert.equal((await conditionOf(second))?.abnormal, false);
  },
);
