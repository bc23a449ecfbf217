import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListVolumesResponse__Output } from '../../src/grpc/wire/ociartifact/v1/ListVolumesResponse.ts';
import type { MountResponse__Output } from '../../src/grpc/wire/ociartifact/v1/MountResponse.ts';
import type { PublishRequest } from '../../src/ports/request.ts';
import { answerOf, failureOf, startEdge, volume } from '../support/node/csi-edge.ts';

const reference = 'registry.test/org/model:v1';

test('volumes are listed with their pods', async () => {
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

test('a manual mount may be anywhere, is one volume per directory, and is parsed as a pull is', async () => {
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
  assert.match(relative.text, /invalid target "mnt": must be absolute/);
});

test('unmount removes manual mounts, refuses those of pods, and succeeds if there is none', async () => {
  const unpublished: unknown[] = [];
  const mine = { ...volume, targetPath: '/mnt/model', volumeId: 'mount-1', anywhere: true };
  await using edge = await startEdge({
    artifacts: { volumes: async () => [volume, mine] },
    publishing: {
      unpublish: async target => void unpublished.push(target),
    },
  });
  await answerOf(done => edge.artifacts.Unmount({ target: '/mnt/model' }, done));
  await answerOf(done => edge.artifacts.Unmount({ target: '/mnt/none' }, done));
  const { code, text } = await failureOf(done => edge.artifacts.Unmount({ target: volume.targetPath }, done));
  assert.equal(code, 'PERMISSION_DENIED');
  assert.match(text, /is a volume of the pod shop\/web-0; delete the pod to unmount it/);
  assert.deepEqual(unpublished, [{ path: '/mnt/model', anywhere: true }]);
});
