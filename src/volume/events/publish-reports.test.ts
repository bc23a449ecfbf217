import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { volume } from '../../../test/support/node/csi-edge.ts';
import type { VolumeEvent } from '../../ports/events.ts';
import type { PublishRequest } from '../../ports/request.ts';
import type { Progress } from '../../ports/usecases.ts';
import { ArtifactError } from '../../util/error.ts';
import { createPublishReports } from './publish-reports.ts';

const request: PublishRequest = {
  volumeId: volume.volumeId,
  targetPath: volume.targetPath,
  anywhere: false,
  mountFlags: [],
  fingerprint: 'f',
  reference: 'r/m:v1',
  selection: { unpack: 'auto', include: [], exclude: [] },
  secrets: {},
  caller: 'pod',
  pod: { namespace: 'shop', name: 'web-0', uid: 'u' },
};

const progress: Progress = {
  phase: 'download',
  bytes: 1024,
  totalBytes: 4096,
  layers: 0,
  totalLayers: 1,
  bytesPerSecond: 0,
};

const origin = { pulled: 2 * 1024, resumed: 1024, cached: 1024, pulledLayers: 2, cachedLayers: 1 };
const mounted = { ...volume, origin };

function createReports() {
  const events: VolumeEvent[] = [];
  let now = 0;
  const sink = { send: (event: VolumeEvent) => void events.push(event) };
  const reports = createPublishReports(sink, () => now, 30);
  const open = (of: PublishRequest) => reports.open(of) ?? assert.fail('it has a pod');
  return { open, reports, events, wait: (ms: number) => void (now += ms) };
}

const reasonsOf = (events: readonly VolumeEvent[]): readonly string[] => events.map(({ reason }) => reason);

test('a pull is one story over all calls of kubelet for its volume', () => {
  const { open, events, wait } = createReports();
  open(request).progress(progress); // kubelet's deadline ends this call
  wait(30_000);
  const second = open(request);
  second.progress({ ...progress, bytes: 2048 });
  wait(10_000);
  second.mounted(mounted);
  assert.deepEqual(reasonsOf(events), ['Pulling', 'Pulled']);
  assert.match(
    events[1]?.message ?? '',
    / in 40 s: 2\.0 KiB at .*\/s, 1\.0 KiB were downloaded before an interruption, 1\.0 KiB were in the cache, /,
  );
  assert.deepEqual([events[1]?.pod, events[1]?.targetPath], [request.pod, request.targetPath]);
});

test('a failure has the words of the error, without secrets, and its code tells it from others', () => {
  const { open, events } = createReports();
  const secrets = { username: 'u', password: 'hunter2-hunter2' };
  open({ ...request, secrets }).failed(new ArtifactError('denied', 'r refused hunter2-hunter2 of u'));
  open(request).failed(new ArtifactError('not-found', 'r has no m:v1'));
  assert.deepEqual(
    events.map(({ type, reason, kind, message }) => [type, reason, kind, message]),
    [
      ['Warning', 'FailedMount', 'denied', 'r refused [redacted] of u'],
      ['Warning', 'FailedMount', 'not-found', 'r has no m:v1'],
    ],
  );
});

test('what a pull waits for is told without secrets', () => {
  const { open, events } = createReports();
  const secrets = { password: 'hunter2-hunter2' };
  open({ ...request, secrets }).progress({ ...progress, waits: 'r answered 503 (X: hunter2-hunter2)' });
  assert.match(events[0]?.message ?? '', /: r answered 503 \(X: \[redacted\]\)/);
});

test('a pull that failed begins anew', () => {
  const { open, events, wait } = createReports();
  const first = open(request);
  first.progress(progress);
  first.failed(new ArtifactError('unavailable', 'r does not answer'));
  wait(1_000);
  open(request).progress(progress);
  assert.deepEqual(reasonsOf(events), ['Pulling', 'FailedMount', 'Pulling']);
});

test('a call that waits for an answer is told of after a while, and once', async () => {
  const { open, events } = createReports();
  {
    using _first = open(request);
    await sleep(60);
    using _next = open(request);
    await sleep(60);
  }
  {
    using quick = open({ ...request, targetPath: `${request.targetPath}/quick` });
    quick.mounted(mounted);
  }
  {
    using busy = open({ ...request, targetPath: `${request.targetPath}/busy` });
    busy.progress(progress);
    await sleep(60);
  }
  assert.deepEqual(reasonsOf(events), ['Pulling', 'Mounted', 'Pulling']);
  assert.match(events[0]?.message ?? '', /^Pulling r\/m:v1 .*: the registry has not answered yet$/);
});

test('a volume without a known pod is not told of', () => {
  const { pod: _, ...unknown } = request;
  assert.equal(createReports().reports.open(unknown), undefined);
});

test('of more volumes than a node can have, the oldest pulls are forgotten', () => {
  const { open, events, wait } = createReports();
  const requestOf = (n: number): PublishRequest => ({ ...request, targetPath: `${request.targetPath}/${n}` });
  for (let n = 0; n <= 1_000; n++) open(requestOf(n)).progress(progress);
  events.length = 0;
  wait(1_000);
  open(requestOf(1_000)).mounted(mounted);
  open(requestOf(0)).mounted(mounted);
  assert.deepEqual(reasonsOf(events), ['Pulled', 'Mounted']);
});
