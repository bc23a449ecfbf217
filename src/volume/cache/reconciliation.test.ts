import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noImages } from '../../../test/support/node/image-mounts.ts';
import { parseDigest } from '../../oci/digest.ts';
import type { VolumeRecord } from '../../ports/records.ts';
import { ArtifactError } from '../../util/error.ts';
import { reconcileVolumes } from './reconciliation.ts';

const digest = parseDigest(`sha256:${'d'.repeat(64)}`);

const targetOf = (uid: string): string => `/kubelet/pods/${uid}/volumes/kubernetes.io~csi/v/mount`;

function recordAt(targetPath: string, more: Partial<VolumeRecord> = {}): VolumeRecord {
  return {
    volumeId: 'csi-1',
    targetPath,
    fingerprint: 'f',
    anywhere: false,
    reference: 'model',
    resolved: 'r/model:latest',
    digest,
    manifest: digest,
    view: 'k',
    bytes: 7,
    inodes: 3,
    holds: [digest],
    publishedAt: 0,
    ...more,
  };
}

/** Reconciles records and mounts with kubelet's pods. `stuck` is a target that cannot be unmounted. */
async function reconcile(node: {
  readonly records?: readonly VolumeRecord[];
  readonly mounts?: readonly string[];
  readonly pods?: readonly string[];
  readonly stuck?: string;
}) {
  const records = new Map(node.records?.map(record => [record.targetPath, record]));
  const mounts = new Set(node.mounts);
  const unmounted: { readonly path: string; readonly anywhere: boolean }[] = [];
  const found = await reconcileVolumes({
    viewsDirectory: '/state/views',
    kubelet: { hasPod: async uid => node.pods?.includes(uid) ?? false },
    volumes: {
      list: async () => [...records.values()],
      remove: async target => {
        assert.ok(!mounts.has(target), 'what is mounted keeps its record');
        records.delete(target);
      },
    },
    images: noImages,
    mounter: {
      list: async root => {
        assert.equal(root, '/state/views');
        return [...mounts].map(target => ({ target, source: '/state/views/k', dead: false }));
      },
      unmount: async target => {
        if (target.path === node.stuck) throw new ArtifactError('unmountable', 'it holds "x"');
        unmounted.push(target);
        mounts.delete(target.path);
      },
    },
  });
  return { found, unmounted, records: [...records.keys()], mounts: [...mounts] };
}

test('nothing there is nothing to do', async () => {
  const { found, unmounted } = await reconcile({});
  assert.deepEqual(found, { volumes: 0, mounted: 0, removed: 0, notes: [] });
  assert.deepEqual(unmounted, []);
});

test('the volume of a pod that is there stays, mounted or not', async () => {
  const [mounted, waiting] = [targetOf('u1'), targetOf('u2')];
  const after = await reconcile({
    records: [recordAt(mounted), recordAt(waiting)],
    mounts: [mounted],
    pods: ['u1', 'u2'],
  });
  assert.deepEqual(after.found, { volumes: 2, mounted: 1, removed: 0, notes: [] });
  assert.deepEqual(after.records, [mounted, waiting]);
  assert.deepEqual(after.mounts, [mounted]);
});

test('the volume of a pod that is gone ends, mounted or not', async () => {
  const [mounted, waiting] = [targetOf('u1'), targetOf('u2')];
  const after = await reconcile({ records: [recordAt(mounted), recordAt(waiting)], mounts: [mounted] });
  assert.deepEqual(after.found, { volumes: 2, mounted: 1, removed: 2, notes: [] });
  assert.deepEqual(after.unmounted, [
    { path: mounted, anywhere: false },
    { path: waiting, anywhere: false },
  ]);
  assert.deepEqual([after.records, after.mounts], [[], []]);
});

test('the pod in the record counts, and not the one in the path', async () => {
  const pod = { namespace: 'n', name: 'p', uid: 'u1' };
  const kept = await reconcile({ records: [recordAt(targetOf('u2'), { pod })], pods: ['u1'] });
  assert.equal(kept.found.removed, 0);
  const gone = await reconcile({ records: [recordAt(targetOf('u2'), { pod })], pods: ['u2'] });
  assert.equal(gone.found.removed, 1);
});

test("a person's volume stays while it is mounted, and ends without its mount", async () => {
  const [mounted, unmounted] = ['/srv/pods/a/volumes/b', '/mnt/b'];
  const after = await reconcile({
    records: [recordAt(mounted, { anywhere: true }), recordAt(unmounted, { anywhere: true })],
    mounts: [mounted],
  });
  assert.deepEqual(after.found, { volumes: 2, mounted: 1, removed: 1, notes: [] });
  assert.deepEqual(after.unmounted, [{ path: unmounted, anywhere: true }]);
  assert.deepEqual([after.records, after.mounts], [[mounted], [mounted]]);
});

test("a volume of no pod that is no person's stays, for nothing says that it is over", async () => {
  const target = '/kubelet/plugins/v/mount';
  const after = await reconcile({ records: [recordAt(target)] });
  assert.equal(after.found.removed, 0);
  assert.deepEqual(after.records, [target]);
});

test('a mount without a record goes when its pod is gone, and stays while its pod or a person may use it', async () => {
  const [gone, there, own] = [targetOf('u1'), targetOf('u2'), '/mnt/a'];
  const after = await reconcile({ mounts: [gone, there, own], pods: ['u2'] });
  assert.deepEqual(after.found, { volumes: 0, mounted: 3, removed: 1, notes: [] });
  assert.deepEqual(after.unmounted, [{ path: gone, anywhere: false }]);
  assert.deepEqual(after.mounts, [there, own]);
});

test('what cannot be ended is noted and keeps its record, is tried once, and holds up nothing else', async () => {
  const [stuck, other] = [targetOf('u1'), targetOf('u2')];
  const after = await reconcile({
    records: [recordAt(stuck), recordAt(other)],
    mounts: [stuck, other],
    stuck,
  });
  const note = `the volume at ${stuck} could not be ended: it holds "x"`;
  assert.deepEqual(after.found, { volumes: 2, mounted: 2, removed: 1, notes: [note] });
  assert.deepEqual([after.records, after.mounts], [[stuck], [stuck]]);
});

test('a mount without a record that cannot be ended is noted as well', async () => {
  const stuck = targetOf('u1');
  const { found } = await reconcile({ mounts: [stuck], stuck });
  assert.equal(found.removed, 0);
  assert.deepEqual(found.notes, [`the volume at ${stuck} could not be ended: it holds "x"`]);
});
