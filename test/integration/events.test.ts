import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { listed } from '../support/late/chunk-list.ts';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import {
  type EventServer,
  openEventServer,
  type StoredEvent,
  verifyPace,
} from '../support/node/event-server.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { sha256 } from '../support/oci/tar.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

const MiB = 1024 * 1024;

let registry: FaultyRegistry;
let api: EventServer;
let node: TestNode;
let daemon: TestDaemon;

const start = (): Promise<TestDaemon> =>
  startDaemon(node, { flags: { '--events': 'true' }, env: { KUBECONFIG: api.kubeconfig } });

before(async () => {
  registry = await openFaultyRegistry();
  api = await openEventServer();
  node = await testNode([registry.host]);
  daemon = await start();
});
after(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
  await api?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});
beforeEach(() => {
  registry.fault(() => undefined);
  api.fault(() => undefined);
});

let pushed = 0;
const push = async (bytes: Buffer): Promise<string> =>
  (await registry.push(`model-${++pushed}`, 'v1', [{ name: 'model', bytes }])).reference;

const slowly = (bytesPerSecond: number): void =>
  registry.fault(({ path }) => (path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond } : undefined));

const isUnderWay = (partial: string): boolean => statSync(join(node.stateDir, 'ingest', partial)).size >= MiB;

/** The volume of a new pod. */
const podOf = (name: string, reference: string) =>
  publishRequest(node, { reference, 'csi.storage.k8s.io/pod.name': name });

const eventsOf = (pod: string): readonly StoredEvent[] =>
  api.events().filter(({ involvedObject }) => involvedObject.name === pod);

const reasonsOf = (pod: string): readonly string[] => eventsOf(pod).map(({ reason }) => reason);

const told = (pod: string, ...reasons: readonly string[]): Promise<void> =>
  waitUntil(daemon, () => reasonsOf(pod).join() === reasons.join(), `${pod}: ${reasons.join()}`);

/** The counts of events, by what became of them. */
async function countEvents(): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`${daemon.http}/metrics`)).text();
  const lines = text.matchAll(/^oci_artifact_csi_pod_events_total\{outcome="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...lines].map(([, outcome = '', count]) => [outcome, Number(count)]));
}

describe('the owner of a pod sees', () => {
  test('a pull with its size and its end, and a mount from the cache', async () => {
    const bytes = randomBytes(4 * MiB);
    const reference = await push(bytes);
    slowly(2 * bytes.length);
    const request = await podOf('pulls', reference);
    await daemon.csi.NodePublishVolume(request);
    await told('pulls', 'Pulling', 'Pulled');
    const [pulling = '', pulled = ''] = eventsOf('pulls').map(({ message }) => message);
    const subject = `${reference} for the volume "artifact"`;
    assert.equal(pulling, `Pulling ${subject}: pulled 0 B of 4.0 MiB, 0 of 1 layers`);
    assert.ok(pulled.startsWith(`Pulled ${subject} in `), pulled);
    assert.match(pulled, / in \S+ s: 4\.0 MiB at \S+ [KM]iB\/s, sha256:[0-9a-f]{64}$/);
    const [{ source, involvedObject, type } = assert.fail()] = eventsOf('pulls');
    assert.deepEqual([source.component, source.host, type], ['oci-artifact-csi', 'test-node', 'Normal']);
    assert.equal(involvedObject.uid, request.volume_context?.['csi.storage.k8s.io/pod.uid']);

    await daemon.csi.NodePublishVolume(await podOf('mounts', reference));
    await told('mounts', 'Mounted');
    assert.ok(
      eventsOf('mounts')[0]?.message.startsWith(`Mounted ${subject} from the cache: 4.0 MiB, sha256:`),
    );
  });

  test('the pull of a layer that only a private registry has served to this node', async () => {
    await using closed = await openFaultyRegistry({ guard: basic });
    await using theirs = await testNode([registry.host, closed.host]);
    await using daemon = await startDaemon(theirs, {
      flags: { '--events': 'true' },
      env: { KUBECONFIG: api.kubeconfig },
    });
    const layer = { name: 'model', bytes: randomBytes(4 * MiB) };
    const secrets = { username: basic.username, password: basic.password };
    const { reference } = await closed.push('private', 'v1', [layer]);
    await daemon.csi.NodePublishVolume(await publishRequest(theirs, { reference }, secrets));
    const own = { reference: await push(layer.bytes), 'csi.storage.k8s.io/pod.name': 'own' };
    slowly(2 * layer.bytes.length);
    await daemon.csi.NodePublishVolume(await publishRequest(theirs, own));
    await waitUntil(daemon, () => reasonsOf('own').join() === 'Pulling,Pulled', 'own: Pulling,Pulled');
    assert.match(eventsOf('own')[1]?.message ?? '', /: 4\.0 MiB at \S+ [KM]iB\/s, sha256:[0-9a-f]{64}$/);
  });

  test('how much of a pull was in the cache', async () => {
    const bytes = randomBytes(4 * MiB);
    const [old, added] = [
      { name: 'model', bytes },
      { name: 'more', bytes: randomBytes(MiB) },
    ];
    const { reference } = await registry.push('grows', 'v1', [old]);
    await daemon.csi.NodePublishVolume(await podOf('before', reference));
    const next = await registry.push('grows', 'v2', [old, added]);
    await daemon.csi.NodePublishVolume(await podOf('grows', next.reference));
    await told('grows', 'Pulling', 'Pulled');
    const [pulling, pulled] = eventsOf('grows').map(({ message }) => message);
    assert.match(pulling ?? '', /: pulled 4\.0 MiB of 5\.0 MiB, 1 of 2 layers$/);
    assert.match(pulled ?? '', /: 1\.0 MiB at \S+ [KM]iB\/s, 4\.0 MiB were in the cache, sha256:/);
  });

  test('an error in the words of the call, counted each time that kubelet calls', async () => {
    const request = await podOf('fails', `${registry.host}/nothing:v1`);
    const { code, text } = await outcomeOf(daemon.csi.NodePublishVolume(request));
    await outcomeOf(daemon.csi.NodePublishVolume(request));
    assert.equal(code, 'NOT_FOUND');
    await waitUntil(daemon, () => eventsOf('fails')[0]?.count === 2, 'counted');
    assert.deepEqual(
      eventsOf('fails').map(({ type, reason, message }) => [type, reason, message]),
      [['Warning', 'FailedMount', text]],
    );
  });

  test('once that the volume shows damaged content', async () => {
    const bytes = Buffer.from('the right bytes');
    const reference = await push(bytes);
    await daemon.csi.NodePublishVolume(await podOf('shows', reference));
    await told('shows', 'Pulling', 'Pulled');
    await writeFile(join(node.stateDir, 'blobs', sha256(bytes).replace(':', '/')), 'wrong');
    for (const name of ['next', 'last']) await daemon.csi.NodePublishVolume(await podOf(name, reference));
    await told('shows', 'Pulling', 'Pulled', 'DamagedContent');
    const [, , damaged] = eventsOf('shows');
    assert.deepEqual([damaged?.type, damaged?.count], ['Warning', 1]);
    assert.match(
      damaged?.message ?? '',
      /^Damaged content of \S+ for the volume "artifact": blob sha256:.*; delete the pod, and a new one gets/,
    );
    await told('next', 'Pulling', 'Pulled');
    await told('last', 'Mounted');
  });

  test('once that a chunk list lied', async () => {
    const bytes = randomBytes(4 * MiB);
    const layers = listed('model', bytes, Buffer.from(bytes.map(byte => byte ^ 0xff)));
    const { reference } = await registry.push('lies', 'v1', layers);
    registry.fault(({ path, headers }) =>
      path.endsWith(sha256(bytes)) && headers.range !== 'bytes=0-0' ? { kind: 'wrong-bytes' } : undefined,
    );
    const request = await podOf('lied-to', reference);
    const late = { ...request, volume_context: { ...request.volume_context, loading: 'onDemand' } };
    await daemon.csi.NodePublishVolume(late);
    await waitUntil(daemon, () => reasonsOf('lied-to').includes('WrongChunkList'), 'told');
    const told = eventsOf('lied-to').filter(({ reason }) => reason === 'WrongChunkList');
    assert.deepEqual(
      told.map(({ type, count }) => [type, count]),
      [['Warning', 1]],
    );
    assert.match(
      told[0]?.message ?? '',
      /^What the pod has read of \S+ for the volume "artifact" may be wrong: the chunk list sha256:\w+ lies: .*loading: full$/,
    );
    const { volume_id, target_path: volume_path } = request;
    const { volume_condition } = await daemon.csi.NodeGetVolumeStats({ volume_id, volume_path });
    assert.match(volume_condition?.message ?? '', /^what was read of it may be wrong: the chunk list/);
    assert.equal(volume_condition?.abnormal, true);
    assert.doesNotMatch(daemon.output(), /lies: .*it is tried again/);
    await daemon.csi.NodeUnpublishVolume({ volume_id, target_path: volume_path });
  });

  test('that a read of what is not loaded yet failed, and why', async () => {
    const bytes = randomBytes(4 * MiB);
    const reference = await push(bytes);
    const away = { kind: 'status', status: 404 } as const;
    registry.fault(({ path }) => (path.endsWith(sha256(bytes)) ? away : undefined));
    const { volume_context, ...request } = await podOf('reads', reference);
    const late = { ...request, volume_context: { ...volume_context, loading: 'onDemand' } };
    await daemon.csi.NodePublishVolume(late);
    const cat = promisify(execFile)('cat', [join(request.target_path, 'model')]);
    await assert.rejects(cat, /Input\/output error/);
    await told('reads', 'Mounted', 'NotLoaded');
    const [, failed] = eventsOf('reads');
    assert.deepEqual([failed?.type, failed?.count], ['Warning', 1]);
    assert.match(
      failed?.message ?? '',
      /^Reading \S+ for the volume "artifact" failed: .*404.*; what is not loaded yet is tried again, and a read/,
    );
    assert.match(daemon.output(), /loaded on demand: a read of what is missing failed: .*404/);
    await daemon.csi.NodeUnpublishVolume(late);
  });

  test('what all calls for its volume pulled, although the pull ended between two of them', async () => {
    const bytes = randomBytes(4 * MiB);
    const request = await podOf('away', await push(bytes));
    slowly(bytes.length / 2);
    const { code } = await outcomeOf(daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 1_000 }));
    assert.equal(code, 'ABORTED');
    const isDone = async (): Promise<boolean> => (await daemon.artifacts.ListPulls({})).pulls?.length === 0;
    await waitUntil(daemon, isDone, 'pulled');
    await daemon.csi.NodePublishVolume(request);
    await told('away', 'Pulling', 'Pulled');
    assert.match(eventsOf('away')[1]?.message ?? '', /: 4\.0 MiB at \S+ [KM]iB\/s, sha256:/);
  });

  test('nothing twice after a restart of the daemon, and what came before it', async () => {
    const bytes = randomBytes(4 * MiB);
    const reference = await push(bytes);
    const mounted = await podOf('lives', await push(Buffer.from('small')));
    await daemon.csi.NodePublishVolume(mounted);
    await told('lives', 'Pulling', 'Pulled');
    slowly(bytes.length / 4);
    const request = await podOf('restarts', reference);
    const call = outcomeOf(daemon.csi.NodePublishVolume(request));
    await told('restarts', 'Pulling');
    await waitUntil(
      daemon,
      () => readdirSync(join(node.stateDir, 'ingest')).some(isUnderWay),
      '1 MiB is there',
    );
    assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
    assert.equal((await call).code, 'UNAVAILABLE');
    await daemon[Symbol.asyncDispose]();
    registry.fault(() => undefined);
    daemon = await start();
    await daemon.csi.NodePublishVolume(mounted);
    await daemon.csi.NodePublishVolume(request);
    await told('restarts', 'Pulling', 'Pulled');
    const [, counts] = / s: (.*), sha256:/.exec(eventsOf('restarts')[1]?.message ?? '') ?? [];
    assert.match(counts ?? '', /^\d.* at \S+ [KM]iB\/s, [\d.]+ MiB were downloaded before an interruption$/);
    const line =
      daemon
        .output()
        .split('\n')
        .findLast(text => text.includes('"resumed":')) ?? '';
    const { pulled, resumed, cached } = JSON.parse(line) as Readonly<Record<string, number>>;
    assert.deepEqual([(pulled ?? 0) + (resumed ?? 0), cached], [bytes.length, 0]);
    assert.ok((resumed ?? 0) >= bytes.length / 4, line);
    await told('lives', 'Pulling', 'Pulled');
  });
});

describe('events', () => {
  test('of 100 pods at once cost the API ten requests a second, and each is accounted for', async t => {
    const reference = await push(Buffer.from('shared'));
    await daemon.csi.NodePublishVolume(await podOf('first', reference));
    await told('first', 'Pulling', 'Pulled');
    const before = await countEvents();
    const from = api.asked.length;
    const requests = await Promise.all(Array.from({ length: 100 }, (_, n) => podOf(`crowd-${n}`, reference)));
    const begin = performance.now();
    await Promise.all(requests.map(request => daemon.csi.NodePublishVolume(request)));
    const took = performance.now() - begin;
    const isSent = (): boolean => requests.every((_, n) => reasonsOf(`crowd-${n}`).join() === 'Mounted');
    await waitUntil(daemon, isSent, 'sent');
    const times = api.asked.slice(from).map(({ at }) => at);
    const seconds = ((times.at(-1) ?? 0) - (times[0] ?? 0)) / 1000;
    t.diagnostic(`${took.toFixed(0)} ms for 100 publishes, ${seconds.toFixed(1)} s for their events`);
    verifyPace(times, 100);
    assert.equal(times.length, 100);
    const now = await countEvents();
    assert.deepEqual(now, { ...before, sent: (before['sent'] ?? 0) + 100 });
  });

  test('that the API refuses fail no volume, and the log names the rule once', async () => {
    const message = 'events is forbidden: User "u" cannot create resource "events"';
    api.fault(() => ({ kind: 'status', code: 403, message }));
    const before = await countEvents();
    const reference = await push(Buffer.from('refused'));
    for (const name of ['one', 'two', 'three'])
      await daemon.csi.NodePublishVolume(await podOf(name, reference));
    await waitUntil(daemon, () => daemon.output().includes('events of pods are refused'), 'logged');
    const refused = async (): Promise<number> =>
      ((await countEvents())['refused'] ?? 0) - (before['refused'] ?? 0);
    await waitUntil(daemon, async () => (await refused()) === 4, 'counted'); // one pod pulled, too
    const lines = daemon
      .output()
      .split('\n')
      .filter(line => line.includes('events of pods are refused'));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /resources: \[events\], verbs: \[create, patch\]/);
  });

  test('hold up no volume and no end of the daemon while the API does not answer', async t => {
    api.fault(() => ({ kind: 'silence' }));
    const reference = await push(Buffer.from('quick'));
    const requests = await Promise.all(Array.from({ length: 20 }, (_, n) => podOf(`silent-${n}`, reference)));
    const begin = performance.now();
    await Promise.all(requests.map(request => daemon.csi.NodePublishVolume(request)));
    const took = performance.now() - begin;
    t.diagnostic(`${took.toFixed(0)} ms for 20 publishes`);
    assert.ok(took < 5_000, `${took} ms`);
    const stopping = performance.now();
    assert.equal(await daemon.end('SIGTERM'), 0, daemon.output());
    assert.ok(performance.now() - stopping < 3_000);
  });
});
