import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { GetPluginCapabilitiesResponse__Output } from '../../src/grpc/wire/csi/v1/GetPluginCapabilitiesResponse.ts';
import type { NodeGetCapabilitiesResponse__Output } from '../../src/grpc/wire/csi/v1/NodeGetCapabilitiesResponse.ts';
import type { NodeGetVolumeHealthResponse__Output } from '../../src/grpc/wire/csi/v1/NodeGetVolumeHealthResponse.ts';
import type { NodeGetVolumeStatsResponse__Output } from '../../src/grpc/wire/csi/v1/NodeGetVolumeStatsResponse.ts';
import type { ProbeResponse__Output } from '../../src/grpc/wire/csi/v1/ProbeResponse.ts';
import { tokensKey } from '../../src/oci/credential.ts';
import type { PublishRequest } from '../../src/ports/request.ts';
import { ArtifactError } from '../../src/util/error.ts';
import { createKeyedMutex } from '../../src/util/mutex.ts';
import { createPublishing } from '../../src/volume/publish.ts';
import {
  answerOf,
  digest,
  failureOf,
  podUid,
  publishRequest,
  startEdge,
  targetPath,
  until,
  volume,
} from '../support/node/csi-edge.ts';
import { noImages } from '../support/node/image-mounts.ts';

test('Identity reports the driver, and that it has no controller', async () => {
  let ready = false;
  await using edge = await startEdge({ ready: () => ready });
  const info = await answerOf(done => edge.identity.GetPluginInfo({}, done));
  assert.deepEqual(info, { name: 'oci-artifact.csi.test', vendor_version: '1.2.3', manifest: {} });
  const { capabilities } = await answerOf<GetPluginCapabilitiesResponse__Output>(done =>
    edge.identity.GetPluginCapabilities({}, done),
  );
  assert.deepEqual(capabilities, []);
  assert.deepEqual((await answerOf<ProbeResponse__Output>(done => edge.identity.Probe({}, done))).ready, {
    value: false,
  });
  ready = true;
  assert.deepEqual((await answerOf<ProbeResponse__Output>(done => edge.identity.Probe({}, done))).ready, {
    value: true,
  });
});

test('Node reports its name, volume stats, no limit and no topology', async () => {
  await using edge = await startEdge();
  const info = await answerOf(done => edge.node.NodeGetInfo({}, done));
  assert.deepEqual(info, { node_id: 'node-1', max_volumes_per_node: 0, accessible_topology: null });
  const { capabilities } = await answerOf<NodeGetCapabilitiesResponse__Output>(done =>
    edge.node.NodeGetCapabilities({}, done),
  );
  assert.deepEqual(
    capabilities.map(({ rpc }) => rpc?.type),
    ['GET_VOLUME_STATS', 'VOLUME_CONDITION', 'GET_VOLUME_HEALTH'],
  );
});

test('calls that are not advertised are unimplemented, with the reason', async () => {
  await using edge = await startEdge();
  for (const start of [
    () => failureOf(done => edge.node.NodeStageVolume({}, done)),
    () => failureOf(done => edge.node.NodeUnstageVolume({}, done)),
    () => failureOf(done => edge.node.NodeExpandVolume({}, done)),
  ]) {
    const { code, text } = await start();
    assert.equal(code, 'UNIMPLEMENTED');
    assert.match(text, /not supported: a volume is/);
  }
});

test('a publish reaches the use case as a domain request, and returns an empty answer', async () => {
  const requests: PublishRequest[] = [];
  await using edge = await startEdge({
    publishing: {
      publish: async request => {
        requests.push(request);
        return volume;
      },
    },
  });
  assert.deepEqual(await answerOf(done => edge.node.NodePublishVolume(publishRequest, done)), {});
  const [request] = requests;
  assert.equal(request?.targetPath, targetPath);
  assert.deepEqual(request?.pod, {
    namespace: 'shop',
    name: 'web-0',
    uid: podUid,
    serviceAccount: 'default',
  });
});

test('each call logs one line with volume, pod, duration and result, and is observed once', async () => {
  const origin = { pulled: 3072, resumed: 512, cached: 1024, pulledLayers: 2, cachedLayers: 1 };
  await using edge = await startEdge({ publishing: { publish: async () => ({ ...volume, origin }) } });
  await answerOf(done => edge.node.NodePublishVolume(publishRequest, done));
  await until(() => edge.observed.length > 0);
  const lines = edge.lines().filter(({ method }) => method !== undefined);
  assert.equal(lines.length, 1);
  const { ms, time: _, pid: __, hostname: ___, ...line } = lines[0] ?? {};
  assert.equal(typeof ms, 'number');
  assert.deepEqual(line, {
    level: 30,
    method: '/csi.v1.Node/NodePublishVolume',
    volumeId: publishRequest.volume_id,
    target: targetPath,
    namespace: 'shop',
    pod: 'web-0',
    reference: 'registry.test/org/model:v1',
    digest,
    bytes: 4096,
    ...origin,
    code: 'OK',
    msg: 'volume published',
  });
  const [{ method, code, seconds } = { method: '', code: -1, seconds: -1 }] = edge.observed;
  assert.deepEqual([method, code], ['/csi.v1.Node/NodePublishVolume', 0]);
  assert.ok(seconds > 0 && seconds < 5);
});

test('the log line of an unpublish names the pod and the artifact if there was a volume', async () => {
  const unused = (): never => assert.fail('not part of an unpublish');
  const records = new Map([[targetPath, { ...volume, holds: [] }]]);
  const publishing = createPublishing({
    viewTurns: createKeyedMutex(),
    onDemand: { again() {}, async ended() {} },
    verifyWritable: unused,
    statusOf: unused,
    failing: { failed: unused, ended() {} },
    pull: { pull: unused, list: unused, stop: unused },
    volumes: {
      find: async target => records.get(target),
      remove: async target => void records.delete(target),
      put: unused,
      listBrief: unused,
    },
    names: { touch: async () => {} },
    views: {
      touch: async () => {},
      find: async () => undefined,
      distrust: unused,
    },
    images: noImages,
    mounter: {
      unmount: async () => {},
      unmountView: async () => {},
      state: unused,
      mount: unused,
      list: unused,
    },
  });
  await using edge = await startEdge({ publishing });
  const request = { volume_id: volume.volumeId, target_path: targetPath };
  await answerOf(done => edge.node.NodeUnpublishVolume(request, done));
  await answerOf(done => edge.node.NodeUnpublishVolume(request, done));
  await until(() => edge.observed.length > 1);
  const short = {
    level: 30,
    method: '/csi.v1.Node/NodeUnpublishVolume',
    volumeId: volume.volumeId,
    target: targetPath,
    code: 'OK',
    msg: 'volume unpublished',
  };
  const what = {
    namespace: 'shop',
    pod: 'web-0',
    reference: 'registry.test/org/model:v1',
    digest,
    bytes: 4096,
  };
  const lines = edge.lines().filter(({ method }) => method !== undefined);
  assert.deepEqual(
    lines.map(({ ms: _, time: __, pid: ___, hostname: ____, ...line }) => line),
    [{ ...short, ...what }, short],
  );
});

test('no secret of a call appears in the log or in an answer, at any level and in any error', async () => {
  const secrets = {
    '.dockerconfigjson': JSON.stringify({
      auths: {
        'registry.test': { auth: btoa('robot:s3cr3t-password'), password: 'other-s3cr3t' },
      },
    }),
    username: 'robot-account',
    password: 'plain-s3cr3t',
  };
  const token = 'eyJhbGciOi.the-token.of-the-pod';
  const tokens = JSON.stringify({ vault: { token, expirationTimestamp: '2026-01-01T00:00:00Z' } });
  const hidden = [
    ...Object.values(secrets),
    's3cr3t-password',
    'other-s3cr3t',
    btoa('robot:s3cr3t-password'),
    token,
    tokens,
  ];
  await using edge = await startEdge({
    publishing: {
      publish: async request => {
        assert.equal(request.secrets[tokensKey], tokens);
        throw new Error(`an adapter that quotes everything: ${hidden.join(' ')}`);
      },
    },
  });
  const request = {
    ...publishRequest,
    secrets,
    volume_context: { ...publishRequest.volume_context, [tokensKey]: tokens },
  };
  const { code, text } = await failureOf(done => edge.node.NodePublishVolume(request, done));
  assert.equal(code, 'INTERNAL');
  assert.match(text, /^an adapter that quotes everything: \[redacted\]/);
  await until(() => edge.observed.length > 0);
  assert.match(edge.text(), /an adapter that quotes everything/);
  for (const secret of hidden) {
    const quoted = JSON.stringify(secret).slice(1, -1);
    assert.ok(!edge.text().includes(secret) && !edge.text().includes(quoted), `the log has ${secret}`);
    assert.ok(!text.includes(secret), `the status has ${secret}`);
  }
});

test('secrets of a pull and of a manual mount are redacted, too', async () => {
  const secrets = { username: 'robot-account', password: 'plain-s3cr3t' };
  const fail = async (): Promise<never> => {
    throw new ArtifactError('denied', 'the registry refuses robot-account with plain-s3cr3t');
  };
  await using edge = await startEdge({
    artifacts: { resolve: fail, pull: fail },
    publishing: { publish: fail },
  });
  const reference = 'registry.test/org/model:v1';
  const resolved = await failureOf(done => edge.artifacts.Resolve({ reference, secrets }, done));
  const mount = { target: '/mnt/model', artifact: { reference, secrets } };
  const mounted = await failureOf(done => edge.artifacts.Mount(mount, done));
  const [pulled] = (await once(edge.artifacts.Pull({ reference, secrets }), 'error')) as [Error];
  for (const text of [resolved.text, mounted.text, pulled.message, edge.text()]) {
    assert.match(text, /the registry refuses \[redacted\] with \[redacted\]/);
    assert.doesNotMatch(text, /robot-account|plain-s3cr3t/);
  }
});

test('stats report the bytes and inodes of the view as used, and none as free', async () => {
  const asked: (readonly (string | undefined)[])[] = [];
  await using edge = await startEdge({
    publishing: {
      stats: async (...[id, path]) => {
        asked.push([id, path]);
        return volume;
      },
    },
  });
  const request = { volume_id: 'csi-1', volume_path: targetPath };
  const { usage } = await answerOf<NodeGetVolumeStatsResponse__Output>(done =>
    edge.node.NodeGetVolumeStats(request, done),
  );
  assert.deepEqual(usage, [
    { unit: 'BYTES', total: 4096, used: 4096, available: 0 },
    { unit: 'INODES', total: 7, used: 7, available: 0 },
  ]);
  assert.deepEqual(asked, [['csi-1', targetPath]]);
});

test('health is what is wrong with a volume, also if the caller knows no path of it', async () => {
  const asked: (readonly (string | undefined)[])[] = [];
  await using edge = await startEdge({
    publishing: {
      stats: async (...[id, path]) => {
        asked.push([id, path]);
        return { ...volume, mounted: false };
      },
    },
  });
  for (const volume_publish_path of [targetPath, '']) {
    const { volume_health } = await answerOf<NodeGetVolumeHealthResponse__Output>(done =>
      edge.node.NodeGetVolumeHealth({ volume_id: 'csi-1', volume_publish_path }, done),
    );
    assert.equal(volume_health?.volume_id, volume.volumeId);
    assert.deepEqual(
      volume_health?.health_statuses.map(({ status, reason }) => [status, reason]),
      [['INACCESSIBLE', 'NotMounted']],
    );
  }
  assert.deepEqual(asked, [
    ['csi-1', targetPath],
    ['csi-1', undefined],
  ]);
});

test('calls without required fields are invalid and reach no use case', async () => {
  await using edge = await startEdge();
  const failures = [
    await failureOf(done => edge.node.NodeGetVolumeStats({ volume_path: '/v' }, done)),
    await failureOf(done => edge.node.NodeGetVolumeStats({ volume_id: 'v' }, done)),
    await failureOf(done => edge.node.NodeUnpublishVolume({ target_path: '/v' }, done)),
    await failureOf(done => edge.node.NodeUnpublishVolume({ volume_id: 'v' }, done)),
    await failureOf(done => edge.node.NodePublishVolume({}, done)),
  ];
  assert.deepEqual(
    failures.map(({ code, text }) => `${code}: ${text.split(' ', 1)[0]}`),
    [
      'INVALID_ARGUMENT: volume_id',
      'INVALID_ARGUMENT: volume_path',
      'INVALID_ARGUMENT: volume_id',
      'INVALID_ARGUMENT: target_path',
      'INVALID_ARGUMENT: volume_id',
    ],
  );
});

test('health reports the state of the daemon for the server and for each service', async () => {
  let ready = true;
  await using edge = await startEdge({ ready: () => ready });
  for (const service of ['', 'csi.v1.Node', 'csi.v1.Identity', 'ociartifact.v1.Artifacts']) {
    assert.deepEqual(await answerOf(done => edge.health.Check({ service }, done)), { status: 'SERVING' });
  }
  const { code } = await failureOf(done => edge.health.Check({ service: 'nobody' }, done));
  assert.equal(code, 'NOT_FOUND');
  const watch = edge.health.Watch({ service: '' });
  const answers = watch[Symbol.asyncIterator]();
  assert.deepEqual((await answers.next()).value, { status: 'SERVING' });
  ready = false;
  assert.deepEqual((await answers.next()).value, { status: 'NOT_SERVING' });
  watch.on('error', () => {});
  watch.cancel();
});

test('a call that ends when the server stops is answered', async () => {
  let stopped: Promise<void> | undefined;
  const publish = async () => {
    stopped = edge.serving.stop();
    return volume;
  };
  await using edge = await startEdge({ publishing: { publish } });
  await answerOf(done => edge.node.NodePublishVolume(publishRequest, done));
  const began = performance.now();
  await stopped;
  assert.ok(performance.now() - began < 900, 'an idle client does not delay the stop');
});
