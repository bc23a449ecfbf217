import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MountResponse__Output } from '../src/csi/wire/ociartifact/v1/MountResponse.ts';
import type { ListVolumesResponse__Output } from '../src/csi/wire/ociartifact/v1/ListVolumesResponse.ts';
import type { LoadResponse__Output } from '../src/csi/wire/ociartifact/v1/LoadResponse.ts';
import type { PullResponse__Output } from '../src/csi/wire/ociartifact/v1/PullResponse.ts';
import type { FsckResponse__Output } from '../src/csi/wire/ociartifact/v1/FsckResponse.ts';
import { ArtifactError } from '../src/util/error.ts';
import type { PublishRequest, PullRequest } from '../src/volume/request.ts';
import type { Progress, Resolved } from '../src/volume/usecases.ts';
import { answerOf, digest, failureOf, startEdge, volume } from './support/csi-edge.ts';

const reference = 'registry.test/org/model:v1';

const resolved: Resolved = {
  reference,
  descriptor: {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest,
    size: 512,
    annotations: { 'org.test/a': 'b' },
    artifactType: 'application/vnd.test',
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  },
  cached: true,
};

const pulled = {
  reference,
  digest,
  manifest: digest,
  view: 'v1',
  path: '/views/v1',
  bytes: 2 ** 40,
  inodes: 7,
};

test('what is asked for reaches the use cases as it was written, and their answers come back whole', async () => {
  const asked: unknown[] = [];
  await using edge = await startEdge({
    artifacts: {
      resolve: async (text, secrets) => {
        asked.push(text, secrets);
        return resolved;
      },
      list: async () => [
        {
          reference,
          digest,
          artifactType: 'application/vnd.test',
          bytes: 9,
          usedAt: 8,
          pinned: true,
          volumes: 2,
        },
      ],
      inspect: async text => {
        asked.push(text);
        const layer = {
          digest,
          mediaType: 'text/plain',
          size: 3,
          name: 'a.txt',
          form: 'file',
          held: true,
        } as const;
        return {
          reference,
          digest,
          manifest: digest,
          kind: 'artifact',
          mediaType: 'm',
          artifactType: 't',
          annotations: { k: 'v' },
          layers: [layer, { ...layer, form: 'unpacked', held: false }],
          pinned: false,
          volumes: ['/target'],
        };
      },
      remove: async () => ({ artifacts: 1, bytes: 5 }),
      prune: async () => ({ artifacts: 2, bytes: 6 }),
      pin: async () => digest,
      unpin: async () => {},
    },
  });
  const secrets = { username: 'robot', password: 'hunter22' };
  assert.deepEqual(await answerOf(done => edge.artifacts.Resolve({ reference, secrets }, done)), {
    resolved: {
      reference,
      media_type: 'application/vnd.oci.image.manifest.v1+json',
      digest,
      size: 512,
      cached: true,
      artifact_type: 'application/vnd.test',
      annotations: { 'org.test/a': 'b' },
      platform: 'linux/arm64/v8',
    },
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.List({}, done)), {
    artifacts: [
      {
        reference,
        digest,
        artifact_type: 'application/vnd.test',
        bytes: 9,
        used_at: 8,
        pinned: true,
        volumes: 2,
      },
    ],
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.Inspect({ reference }, done)), {
    reference,
    digest,
    manifest: digest,
    kind: 'ARTIFACT',
    media_type: 'm',
    artifact_type: 't',
    annotations: { k: 'v' },
    layers: [
      { digest, media_type: 'text/plain', size: 3, name: 'a.txt', form: 'FILE', held: true },
      { digest, media_type: 'text/plain', size: 3, name: 'a.txt', form: 'UNPACKED', held: false },
    ],
    pinned: false,
    volumes: ['/target'],
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.Remove({ reference }, done)), {
    freed: { artifacts: 1, bytes: 5 },
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.Prune({}, done)), {
    freed: { artifacts: 2, bytes: 6 },
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.Pin({ reference }, done)), { digest });
  assert.deepEqual(await answerOf(done => edge.artifacts.Unpin({ reference }, done)), {});
  assert.deepEqual(asked, [reference, secrets, reference]);
});

test('a call that needs a reference says so', async () => {
  await using edge = await startEdge();
  for (const start of [
    () => failureOf(done => edge.artifacts.Resolve({}, done)),
    () => failureOf(done => edge.artifacts.Inspect({}, done)),
    () => failureOf(done => edge.artifacts.Remove({}, done)),
    () => failureOf(done => edge.artifacts.Pin({}, done)),
    () => failureOf(done => edge.artifacts.Unpin({}, done)),
    () => failureOf(done => edge.artifacts.Mount({ target: '/mnt/x' }, done)),
  ]) {
    const { code, text } = await start();
    assert.equal(code, 'INVALID_ARGUMENT');
    assert.match(text, /reference is missing; set it to/);
  }
});

test('a pull streams its phases and ends with its result', async () => {
  const requests: PullRequest[] = [];
  const progress: Progress = { phase: 'resolve', bytes: 0, totalBytes: 9, layers: 0, totalLayers: 2 };
  await using edge = await startEdge({
    artifacts: {
      pull: async (request, onProgress) => {
        requests.push(request);
        onProgress(progress);
        for (let bytes = 0; bytes < 5000; bytes++) onProgress({ ...progress, phase: 'download', bytes });
        onProgress({ ...progress, phase: 'view', bytes: 9, layers: 2 });
        return pulled;
      },
    },
  });
  const call = edge.artifacts.Pull({ reference, pull_policy: 'Always', include: '*.json', sub_path: 'a' });
  const messages: readonly PullResponse__Output[] = await Array.fromAsync<PullResponse__Output>(call);
  assert.deepEqual(requests, [
    {
      reference,
      pullPolicy: 'Always',
      selection: { unpack: 'auto', include: ['*.json'], exclude: [], subPath: 'a' },
      secrets: {},
    },
  ]);
  assert.deepEqual(messages.at(-1)?.result, pulled);
  const phases = messages.slice(0, -1).map(message => message.progress?.phase);
  assert.deepEqual([...new Set(phases)], ['RESOLVE', 'DOWNLOAD', 'VIEW']);
  assert.ok(phases.length < 100, `${phases.length} messages`);
});

test('an archive arrives chunk by chunk, with the name of the first message', async () => {
  const seen: unknown[] = [];
  await using edge = await startEdge({
    artifacts: {
      load: async (tar, name) => {
        const bytes = Buffer.concat(await Array.fromAsync(tar));
        seen.push(name, bytes.toString());
        return [resolved];
      },
    },
  });
  const answer = await answerOf<LoadResponse__Output>(done => {
    const call = edge.artifacts.Load(done);
    call.write({ reference });
    for (const text of ['one ', 'two ', 'three']) call.write({ chunk: Buffer.from(text) });
    call.write({ last: true });
    call.end();
  });
  assert.deepEqual(seen, [reference, 'one two three']);
  assert.equal(answer.loaded[0]?.digest, digest);
});

test('an archive that breaks off never looks complete, however its stream ends', async () => {
  const ends: string[] = [];
  await using edge = await startEdge({
    artifacts: {
      load: async tar => {
        try {
          for await (const _ of tar);
          ends.push('complete');
        } catch (error) {
          ends.push(error instanceof Error ? error.name : String(error));
          throw error;
        }
        return [];
      },
    },
  });
  for (let round = 0; round < 40; round++) {
    const { code } = await failureOf(done => {
      const call = edge.artifacts.Load(done);
      call.write({ chunk: Buffer.alloc(round * 1000) });
      setTimeout(() => call.cancel(), round % 8);
    });
    assert.equal(code, 'CANCELLED');
  }
  const { code, text } = await failureOf(done => {
    const call = edge.artifacts.Load(done);
    call.write({ chunk: Buffer.from('half') });
    call.end();
  });
  assert.equal(code, 'INVALID_ARGUMENT');
  assert.match(text, /^the archive broke off: .*; load it again$/);
  assert.ok(ends.length > 1);
  assert.equal(ends.includes('complete'), false);
});

test('an archive is refused in mid-stream with the reason, as is a second name', async () => {
  await using edge = await startEdge({
    artifacts: {
      load: async (tar, name) => {
        if (name === undefined) throw new ArtifactError('invalid', 'not a tar');
        for await (const _ of tar);
        return [];
      },
    },
  });
  const early = await failureOf(done => {
    const call = edge.artifacts.Load(done);
    for (let chunk = 0; chunk < 64; chunk++) call.write({ chunk: Buffer.alloc(65_536) });
  });
  assert.deepEqual([early.code, early.text], ['INVALID_ARGUMENT', 'not a tar']);
  const second = await failureOf(done => {
    const call = edge.artifacts.Load(done);
    call.write({ reference });
    call.write({ reference });
  });
  assert.equal(second.code, 'INVALID_ARGUMENT');
  assert.match(second.text, /only the first message may name a reference; load one archive per call/);
});

test('a check streams what it finds and ends with the count', async () => {
  await using edge = await startEdge({
    artifacts: {
      fsck: async (repair, onFinding) => {
        onFinding({ path: 'blobs/sha256/ab', problem: 'its bytes have another digest', repaired: repair });
        return { checked: 12 };
      },
    },
  });
  const messages = await Array.fromAsync<FsckResponse__Output>(edge.artifacts.Fsck({ repair: true }));
  assert.deepEqual(
    messages.map(({ finding, result }) => finding ?? result),
    [{ path: 'blobs/sha256/ab', problem: 'its bytes have another digest', repaired: true }, { checked: 12 }],
  );
});

test('volumes are listed with who has them', async () => {
  const { pod: _, ...ofNobody } = volume;
  await using edge = await startEdge({
    artifacts: { volumes: async () => [volume, { ...ofNobody, anywhere: true, mounted: false }] },
  });
  const { volumes } = await answerOf<ListVolumesResponse__Output>(done =>
    edge.artifacts.ListVolumes({}, done),
  );
  assert.deepEqual(volumes[0]?.pod, {
    namespace: 'shop',
    name: 'web-0',
    uid: volume.pod?.uid,
    service_account: '',
  });
  assert.deepEqual([volumes[1]?.pod, volumes[1]?.anywhere, volumes[1]?.mounted], [null, true, false]);
  assert.equal(JSON.stringify(volumes).includes('fingerprint'), false);
});

test('a mount for a person may lie anywhere, is one volume for each folder, and is read as a pull is', async () => {
  const requests: PublishRequest[] = [];
  await using edge = await startEdge({
    publishing: {
      publish: async request => {
        requests.push(request);
        return { ...volume, targetPath: request.targetPath, anywhere: true };
      },
    },
  });
  const mount = { target: '/mnt/model', artifact: { reference, sub_path: 'a' } };
  const answer = await answerOf<MountResponse__Output>(done => edge.artifacts.Mount(mount, done));
  assert.deepEqual([answer.volume?.target_path, answer.volume?.mounted], ['/mnt/model', true]);
  await answerOf(done => edge.artifacts.Mount(mount, done));
  await answerOf(done => edge.artifacts.Mount({ ...mount, target: '/mnt/other' }, done));
  const [first, again, other] = requests;
  assert.deepEqual([first?.anywhere, first?.selection.subPath, first?.pod], [true, 'a', undefined]);
  assert.deepEqual(again, first);
  assert.notEqual(other?.volumeId, first?.volumeId);
  const relative = await failureOf(done => edge.artifacts.Mount({ ...mount, target: 'mnt' }, done));
  assert.match(relative.text, /the target "mnt" cannot be used: it must be absolute/);
});

test('an unmount takes away what a person mounted, nothing of a pod, and is content with nothing', async () => {
  const unpublished: unknown[] = [];
  const mine = { ...volume, targetPath: '/mnt/model', volumeId: 'mount-1', anywhere: true };
  await using edge = await startEdge({
    artifacts: { volumes: async () => [volume, mine] },
    publishing: {
      unpublish: async (volumeId, target) => void unpublished.push([volumeId, target]),
    },
  });
  await answerOf(done => edge.artifacts.Unmount({ target: '/mnt/model' }, done));
  await answerOf(done => edge.artifacts.Unmount({ target: '/mnt/none' }, done));
  const { code, text } = await failureOf(done => edge.artifacts.Unmount({ target: volume.targetPath }, done));
  assert.equal(code, 'PERMISSION_DENIED');
  assert.match(text, /is a volume of the pod shop\/web-0; delete the pod to unmount it/);
  assert.deepEqual(unpublished, [['mount-1', { path: '/mnt/model', anywhere: true }]]);
});

test('a list larger than gRPC reads by itself arrives', async () => {
  const rows = Array.from({ length: 60_000 }, (_, row) => ({
    reference: `${reference}-${row}`,
    digest,
    artifactType: '',
    bytes: row,
    usedAt: 0,
    pinned: false,
    volumes: 0,
  }));
  await using edge = await startEdge({ artifacts: { list: async () => rows } });
  const { artifacts } = await answerOf<{ artifacts: readonly unknown[] }>(done =>
    edge.artifacts.List({}, done),
  );
  assert.equal(artifacts.length, rows.length);
});
