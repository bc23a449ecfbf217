import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { openObjectServer } from '../support/node/object-server.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** Nodes of one cluster that share a registry by --origin-slots. */

const mib = 1024 * 1024;
const stack = new AsyncDisposableStack();
after(() => stack.disposeAsync());
const home = stack.use(await openFaultyRegistry());
const mirror = stack.use(await openFaultyRegistry());
const api = stack.use(await openObjectServer());
const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases/';

type Member = { readonly name: string; readonly node: TestNode; readonly daemon: TestDaemon };

/** A node that asks the mirror first, and takes blobs from the registry in its turn. */
async function openMember(name: string, slots = '1', patience = '10m'): Promise<Member> {
  const node = stack.use(await testNode());
  const hostsDir = join(node.path, 'hosts');
  await mkdir(join(hostsDir, 'models.test'), { recursive: true });
  await writeFile(
    join(hostsDir, 'models.test/hosts.toml'),
    `server = "http://${home.host}"\n[host."http://${mirror.host}"]\ncapabilities = ["pull"]\n`,
  );
  const flags = {
    '--hosts-dir': hostsDir,
    '--node-id': name,
    '--origin-slots': slots,
    '--origin-patience': patience,
  };
  const daemon = stack.use(await startDaemon(node, { flags, env: { KUBECONFIG: api.kubeconfig } }));
  return { name, node, daemon };
}

/** Calls as kubelet does, until the volume is published. Answers what was said meanwhile. */
async function publish({ node, daemon }: Member, reference: string): Promise<readonly string[]> {
  const request = await publishRequest(node, { reference, pullPolicy: 'IfNotPresent' });
  const said: string[] = [];
  for (;;) {
    try {
      await daemon.csi.NodePublishVolume(request, { deadline: Date.now() + 5_000 });
      await daemon.csi.NodeUnpublishVolume(request);
      return said;
    } catch (thrown) {
      assert.match(String(thrown), /ABORTED|DEADLINE_EXCEEDED/);
      said.push(String(thrown));
    }
  }
}

/** An artifact for each node, so that the registry sees who takes its blobs. */
const pushFor = async (name: string, size = 4 * mib) => {
  const bytes = randomBytes(size);
  const { layers } = await home.push(name, 'v1', [{ name: 'model', bytes }]);
  return { reference: `models.test/${name}:v1`, bytes, blob: `/blobs/${layers[0]?.digest}` };
};
const taken = (blob: string): number => home.sent(`${blob}?ns=models.test`);
const slow = (): void =>
  home.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: 2 * mib } : undefined,
  );
const holders = (): readonly string[] =>
  api.objects(leases).map(({ spec }) => (spec as { holderIdentity: string }).holderIdentity);

const first = await openMember('node-1');

test('three nodes take blobs one after the other, and a mirror that has one serves it meanwhile', async () => {
  const members = [first, await openMember('node-2'), await openMember('node-3')];
  const artifacts = await Promise.all(members.map(({ name }) => pushFor(`three-${name}`)));
  const late = await pushFor('late');
  slow();
  const isUnderWay = ({ blob, bytes }: (typeof artifacts)[number]): boolean =>
    taken(blob) > 0 && taken(blob) < bytes.length;
  let most = 0;
  using _look = setInterval(() => {
    most = Math.max(most, artifacts.filter(isUnderWay).length);
  }, 20);
  const publishing = members.map((member, nth) =>
    publish(member, artifacts[nth]?.reference ?? assert.fail()),
  );
  const [, other] = members;
  assert.ok(other !== undefined);
  for (const end = Date.now() + 20_000; holders().length === 0; await sleep(20)) assert.ok(Date.now() < end);
  const waiting = members.find(({ name }) => !holders().includes(name)) ?? other;
  // What the mirror gets now, while the registry is withheld from this node.
  const served = publish(waiting, late.reference);
  await mirror.push('late', 'v1', [{ name: 'model', bytes: late.bytes }]);
  await served;
  const said = (await Promise.all(publishing)).flat().join('\n');
  assert.match(said, /this node waits for the slot of 127\.0\.0\.1:\d+ \(held by node-\d\) until 20\d\d-/);
  assert.equal(most, 1);
  assert.deepEqual(
    artifacts.map(({ blob, bytes }) => taken(blob) === bytes.length),
    [true, true, true],
  );
  assert.equal(taken(late.blob), 0);
});

test('status says what a node waits for, and the slot of a node that died is taken over', async () => {
  for (const end = Date.now() + 20_000; holders().length > 0; await sleep(20)) assert.ok(Date.now() < end);
  const [lease] = api.asked.flatMap(({ method, url }) =>
    method === 'GET' && url.startsWith(leases) ? [url] : [],
  );
  assert.ok(lease !== undefined);
  api.put(lease, { spec: { holderIdentity: 'dead-node', leaseDurationSeconds: 15 } });
  const { reference } = await pushFor('after-death');
  const publishing = publish(first, reference);
  const waits = /^this node waits for the slot of \S+ \(held by dead-node\) until /;
  const problems = async () => (await first.daemon.artifacts.GetStatus({})).problems;
  for (const end = Date.now() + 20_000; !(await problems()).some(line => waits.test(line)); await sleep(50))
    assert.ok(Date.now() < end);
  await publishing;
  assert.equal(api.get(lease)?.['spec'].holderIdentity ?? 'node-1', 'node-1');
});

test('a node takes blobs all the same when its patience ends', async () => {
  const [lease = ''] = api.asked.flatMap(({ url }) => (url.startsWith(leases) ? [url] : []));
  api.put(lease, { spec: { holderIdentity: 'busy-node', leaseDurationSeconds: 3600 } });
  const { reference } = await pushFor('patience');
  const member = await openMember('node-4', '1', '8s');
  const began = performance.now();
  await publish(member, reference);
  assert.ok(performance.now() - began > 8_000);
  assert.equal(api.get(lease)?.['spec'].holderIdentity, 'busy-node');
  api.remove(lease);
});

test('without the right to Leases a pull goes on at once, and status names the rule', async () => {
  api.refuse((_, path) => (path.includes('/leases') ? 403 : undefined));
  const { reference } = await pushFor('forbidden');
  assert.doesNotMatch((await publish(first, reference)).join('\n'), /waits for/);
  const { problems } = await first.daemon.artifacts.GetStatus({});
  assert.match(
    problems.join('\n'),
    /the slots of --origin-slots cannot be taken: this daemon may not get leases/,
  );
  api.refuse(() => undefined);
});

test('an API that dies ends no pull, neither the one under way nor the next', async () => {
  const member = await openMember('node-5');
  slow();
  const [dying, next] = [await pushFor('dying', 8 * mib), await pushFor('next')];
  const publishing = publish(member, dying.reference);
  for (const end = Date.now() + 20_000; taken(dying.blob) === 0; await sleep(20)) assert.ok(Date.now() < end);
  await api[Symbol.asyncDispose]();
  await publishing;
  home.fault(() => undefined);
  await publish(member, next.reference);
});
