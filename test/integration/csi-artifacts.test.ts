import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FsckResponse__Output } from '../../src/grpc/wire/ociartifact/v1/FsckResponse.ts';
import type { PullResponse__Output } from '../../src/grpc/wire/ociartifact/v1/PullResponse.ts';
import type { PullRequest } from '../../src/ports/request.ts';
import type { Progress } from '../../src/ports/usecases.ts';
import { answerOf, digest, failureOf, reference, resolved, startEdge } from '../support/node/csi-edge.ts';

const pulled = {
  reference,
  digest,
  manifest: digest,
  view: 'v1',
  path: '/views/v1',
  bytes: 2 ** 40,
  inodes: 7,
  notes: ['n'],
};

test('requests reach the use cases unchanged, and their answers return unchanged', async () => {
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
          verifiedAt: 9,
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
          layers: [
            layer,
            { ...layer, form: 'unpacked', held: false },
            { ...layer, name: '', form: 'chunks', held: false },
            { ...layer, name: '', form: 'empty', held: false },
          ],
          pinned: false,
          verdict: 'accepted: v',
          otherNames: ['registry.example/other:1'],
          notes: ['n'],
          viewDigests: [digest],
          volumes: ['/target'],
        };
      },
      remove: async () => ({
        artifacts: 1,
        bytes: 5,
        reference,
        digest,
        keptBy: ['registry.example/other:1'],
      }),
      prune: async () => ({ artifacts: 2, bytes: 6, items: [{ digest, bytes: 6 }] }),
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
        verified_at: 9,
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
      { digest, media_type: 'text/plain', size: 3, name: '', form: 'CHUNKS', held: false },
      { digest, media_type: 'text/plain', size: 3, name: '', form: 'EMPTY', held: false },
    ],
    pinned: false,
    verdict: 'accepted: v',
    other_names: ['registry.example/other:1'],
    view_digests: [digest],
    notes: ['n'],
    volumes: ['/target'],
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.Remove({ reference }, done)), {
    freed: { artifacts: 1, bytes: 5 },
    reference,
    digest,
    kept_by: ['registry.example/other:1'],
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.Prune({}, done)), {
    freed: { artifacts: 2, bytes: 6 },
    items: [{ reference: '', digest, bytes: 6 }],
  });
  assert.deepEqual(await answerOf(done => edge.artifacts.Pin({ reference }, done)), { digest });
  assert.deepEqual(await answerOf(done => edge.artifacts.Unpin({ reference }, done)), {});
  assert.deepEqual(asked, [reference, secrets, reference]);
});

test('a call without its required reference is invalid', async () => {
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
  const progress: Progress = {
    phase: 'resolve',
    bytes: 0,
    totalBytes: 9,
    layers: 0,
    totalLayers: 2,
    bytesPerSecond: 0,
  };
  await using edge = await startEdge({
    artifacts: {
      pull: async (request, onProgress) => {
        requests.push(request);
        onProgress(progress);
        for (let bytes = 0; bytes < 5000; bytes++) onProgress({ ...progress, phase: 'download', bytes });
        onProgress({ ...progress, phase: 'build', bytes: 9, layers: 2 });
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
      caller: 'administrator',
    },
  ]);
  assert.deepEqual(messages.at(-1)?.result, pulled);
  const phases = messages.slice(0, -1).map(message => message.progress?.phase);
  assert.deepEqual([...new Set(phases)], ['RESOLVE', 'DOWNLOAD', 'BUILD']);
  assert.ok(phases.length < 100, `${phases.length} messages`);
});

test('fsck streams its findings and ends with the count', async () => {
  await using edge = await startEdge({
    artifacts: {
      fsck: async (repair, onFinding) => {
        await onFinding({
          path: 'blobs/sha256/ab',
          problem: 'its bytes have another digest',
          artifacts: ['r.example/m:1'],
          keptBy: ['ns/pod'],
          repaired: repair,
        });
        return { checked: 12 };
      },
    },
  });
  const messages = await Array.fromAsync<FsckResponse__Output>(edge.artifacts.Fsck({ repair: true }));
  assert.deepEqual(
    messages.map(({ finding, result }) => finding ?? result),
    [
      {
        path: 'blobs/sha256/ab',
        problem: 'its bytes have another digest',
        artifacts: ['r.example/m:1'],
        kept_by: ['ns/pod'],
        repaired: true,
      },
      { checked: 12 },
    ],
  );
});

test('a list above the default message limit of gRPC arrives', async () => {
  const rows = Array.from({ length: 60_000 }, (_, row) => ({
    reference: `${reference}-${row}`,
    digest,
    artifactType: '',
    bytes: row,
    usedAt: 0,
    verifiedAt: 9,
    pinned: false,
    volumes: 0,
  }));
  await using edge = await startEdge({ artifacts: { list: async () => rows } });
  const { artifacts } = await answerOf<{ artifacts: readonly unknown[] }>(done =>
    edge.artifacts.List({}, done),
  );
  assert.equal(artifacts.length, rows.length);
});
