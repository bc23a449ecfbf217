import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { hash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { type Digest, toDigest } from '../../src/oci/digest.ts';
import { openStore, type Store } from '../../src/store/store.ts';
import { publishRequest, startDaemon, testNode } from '../support/node/daemon.ts';
import { type Shown, shownOf } from '../support/node/volume.ts';
import { describeBlob } from '../support/oci/nodes.ts';
import { gzip, tarOf } from '../support/oci/tar.ts';
import { readTree } from '../support/oci/tree.ts';
import { mountCutDisk } from '../support/os/cut-disk.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const never = new AbortController().signal;

/** Stores blobs of many sizes, small ones at once and large ones as downloads. */
async function storeSome(store: Store, sizes: readonly number[]): Promise<readonly Digest[]> {
  const blobs = sizes.map(size => randomBytes(size));
  const digests = blobs.map(bytes => toDigest('sha256', hash('sha256', bytes)));
  using _expected = store.blobs.expect(digests);
  await Promise.all(
    blobs.map(async (bytes, nth) => {
      if (nth % 2 === 0) return store.blobs.put(digests[nth] ?? assert.fail(), bytes);
      await using ingest = await store.blobs.ingest(describeBlob(bytes), 'registry', never);
      ingest.write(bytes);
      await ingest.verify();
      await ingest.commit();
    }),
  );
  return digests;
}

test(
  'after a power cut, a blob is right or absent, and present if it was awaited',
  needs('root', 'mkfs.ext4'),
  async () => {
    await using directory = await temporaryDirectory();
    const disk = mountCutDisk(directory.path);
    await using store = await openStore({ stateDir: join(disk.path, 'state'), bootId: 'first' });
    let [lost, kept] = [0, 0];
    for (let round = 0; round < 5; round++) {
      const sizes = Array.from({ length: 8 * (round + 1) }, (_, nth) => 1 + ((nth * 7919) % 60_000));
      const digests = await storeSome(store, sizes);
      const awaited = digests.slice(0, round);
      await store.durability.settle(awaited, 'none', never);
      const late = await storeSome(store, [10, 300_000, 20, 40]);

      await using after = await openStore({ stateDir: join(disk.cut(), 'state'), bootId: 'second' });
      for (const digest of awaited) assert.notEqual(await after.blobs.size(digest), undefined);
      for (const digest of [...digests, ...late]) {
        if ((await after.blobs.size(digest)) === undefined) lost++;
        else kept++;
        assert.equal(await after.blobs.check(digest, never), undefined);
      }
      const again = await storeSome(after, [5, 6]);
      await after.durability.settle(again, 'none', never);
    }
    assert.ok(lost > 0 && kept > 0, `${lost} were lost, ${kept} kept`);
  },
);

test('a daemon that starts again in the same boot keeps what its predecessor did not sync', async () => {
  await using directory = await temporaryDirectory();
  const options = { stateDir: join(directory.path, 'state') };
  const script = `
    const { openStore } = await import(${JSON.stringify(new URL('../../src/store/store.ts', import.meta.url).href)});
    const store = await openStore(${JSON.stringify(options)});
    await store.blobs.put(${JSON.stringify(describeBlob(Buffer.from('bytes')).digest)}, Buffer.from('bytes'));
    process.kill(process.pid, 'SIGKILL');`;
  spawnSync(process.execPath, ['--input-type=module', '-e', script]);
  await using store = await openStore(options);
  const { digest } = describeBlob(Buffer.from('bytes'));
  assert.equal(await store.blobs.check(digest, never), undefined);
  assert.equal(await store.blobs.size(digest), 5);
  await store.durability.settle([digest], 'none', never);
});

/** A node whose state directory is on a disk whose power can be cut, and a registry. */
async function openCutNode(flags: Readonly<Record<string, string>>) {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await openFaultyRegistry());
  const node = stack.use(await testNode([registry.host]));
  const disk = mountCutDisk(node.path);
  const daemon = stack.use(await startDaemon({ ...node, stateDir: join(disk.path, 'state') }, { flags }));
  const publish = async (nth: number): Promise<Shown> => {
    const files = Array.from(
      { length: 3 + nth },
      (_, file) => [`file-${file}`, randomBytes(file === 0 ? 200_000 : 50)] as const,
    );
    const unpacked = Array.from(
      { length: 80 },
      (_, file) => [`d/${file % 7}/${file}`, randomBytes(100)] as const,
    );
    const tar = gzip(await tarOf(unpacked.map(([name, bytes]) => [{ name }, bytes])));
    const layers = files.map(([name, bytes]) => ({ name, bytes }));
    const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';
    const { reference } = await registry.push(
      'cut',
      `v${nth}`,
      nth % 2 === 0 ? layers : [...layers, { bytes: tar, mediaType }],
    );
    await daemon.csi.NodePublishVolume(await publishRequest(node, { reference }));
    return shownOf(nth % 2 === 0 ? files : [...files, ...unpacked]);
  };
  const opened = stack.move();
  return { disk, publish, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

for (const durable of ['false', 'true']) {
  test(
    `after a power cut, a volume's tree is ${durable === 'true' ? 'there' : 'whole or absent'} with --durable-publish=${durable}`,
    needs('root', 'mkfs.ext4'),
    async () => {
      await using node = await openCutNode({ '--durable-publish': durable });
      const published: Shown[] = [];
      let lost = 0;
      for (let nth = 0; nth < 6; nth++) {
        published.push(await node.publish(nth));
        await using after = await openStore({ stateDir: join(node.disk.cut(), 'state'), bootId: 'another' });
        assert.deepEqual(await after.views.listLost(), []);
        const views = await after.views.list();
        const trees = views.map(({ path }) => JSON.stringify(readTree(path)));
        for (const tree of trees)
          assert.ok(
            published.some(shown => isDeepStrictEqual(shown, JSON.parse(tree))),
            tree,
          );
        lost += published.length - views.length;
        for (const { digest } of await after.blobs.list())
          assert.equal(await after.blobs.check(digest, never), undefined);
        for (const { digest } of await after.layers.list())
          assert.equal(await after.layers.check(digest, never), undefined);
        const names = await after.names.list();
        if (durable === 'true') assert.equal(names.length, published.length);
      }
      if (durable === 'true') assert.equal(lost, 0);
      else assert.ok(lost > 0, 'a power cut takes what was published last');
    },
  );
}
