import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
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
import { sha256 } from '../support/oci/tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';
import { basic } from '../support/registry/guarded-registry.ts';

/** Volumes that are loaded on demand with a secret of their pod, which a daemon does not keep. */

const registry = await openFaultyRegistry({ guard: basic });
after(() => registry[Symbol.asyncDispose]());
const mib = 1024 * 1024;
const { username, password } = basic;
const auth = Buffer.from(`${username}:${password}`).toString('base64');
const dockerConfig = JSON.stringify({ auths: { [registry.host]: { auth } } });
const secrets = { '.dockerconfigjson': dockerConfig };
const patience = { flags: { '--on-demand-patience': '2s' } } as const;
let pushed = 0;

async function push() {
  const files = ['shard-0', 'shard-1'].map(name => ({ name, bytes: randomBytes(2 * mib + 77) }));
  const { reference } = await registry.push(`private-${pushed++}`, 'v1', files);
  const [first = '', second = ''] = files.map(({ bytes }) => sha256(bytes));
  return { reference, first, second };
}

function read(path: string): Promise<string> {
  return new Promise(resolve => {
    execFile('sha256sum', [path], { timeout: 30_000, killSignal: 'SIGKILL' }, (error, stdout, stderr) =>
      resolve(error === null ? `sha256:${stdout.split(' ')[0]}` : stderr.trim()),
    );
  });
}

async function waitFor(what: string, is: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + 40_000;
  while (!(await is())) {
    assert.ok(Date.now() < until, what);
    await sleep(50);
  }
}

async function loadingOf({ artifacts }: TestDaemon, target: string) {
  const { volumes } = await artifacts.ListVolumes({});
  return volumes.find(({ target_path }) => target_path === target)?.loading;
}

const isComplete = async (daemon: TestDaemon, target: string): Promise<boolean> => {
  const loading = await loadingOf(daemon, target);
  return Boolean(loading && loading.total_bytes > 0 && loading.bytes === loading.total_bytes);
};

/** How many late views are in each state. */
async function statesOf({ http }: TestDaemon): Promise<Readonly<Record<string, string>>> {
  const metrics = await (await fetch(`${http}/metrics`)).text();
  const found = metrics.matchAll(/^oci_artifact_csi_on_demand_views\{state="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries(Array.from(found, ([, state, count]) => [state, count]));
}

/** What the node remembers of the access of pods; of each repository, it remembers a thousand. */
const forgetAccess = ({ stateDir }: TestNode): void =>
  rmSync(join(stateDir, 'access'), { recursive: true, force: true });

test('a complete volume of a private artifact needs no secret after a restart', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push();
  const request = await publishRequest(node, { reference: sample.reference, loading: 'onDemand' }, secrets);
  const { target_path: target, volume_id } = request;
  {
    await using daemon = await startDaemon(node, patience);
    await daemon.csi.NodePublishVolume(request);
    await waitFor('complete', () => isComplete(daemon, target));
  }
  forgetAccess(node);
  registry.reset();
  await using daemon = await startDaemon(node, patience);
  await waitFor('it is known', async () => (await statesOf(daemon)).complete === '1');
  assert.deepEqual(await statesOf(daemon), { loading: '0', stalled: '0', complete: '1' });
  assert.ok(await isComplete(daemon, target));
  const { volume_condition } = await daemon.csi.NodeGetVolumeStats({ volume_id, volume_path: target });
  assert.equal(volume_condition?.abnormal, false);
  assert.equal(await read(join(target, 'shard-1')), sample.second);
  assert.deepEqual(registry.asked, []);
  await daemon.csi.NodeUnpublishVolume({ volume_id, target_path: target });
  await waitFor('it is gone', async () => (await statesOf(daemon)).complete === '0');
});

for (const access of ['is remembered', 'is not'])
  test(`an incomplete volume of a private artifact, whose access ${access}, continues when it is published again with its secret`, async () => {
    await using node = await testNode([registry.host]);
    const sample = await push();
    registry.fault(({ path }) =>
      path.endsWith(sample.second) ? { kind: 'status', status: 404 } : undefined,
    );
    const request = await publishRequest(node, { reference: sample.reference, loading: 'onDemand' }, secrets);
    const target = request.target_path;
    {
      await using daemon = await startDaemon(node, patience);
      await daemon.csi.NodePublishVolume(request);
      assert.equal(await read(join(target, 'shard-0')), sample.first);
    }
    if (access === 'is not') forgetAccess(node);
    registry.fault(() => undefined);
    await using daemon = await startDaemon(node, patience);
    await waitFor('it needs the secret', async () =>
      /needs a credential/.test((await loadingOf(daemon, target))?.problem ?? ''),
    );
    await waitFor('it is stalled', async () => (await statesOf(daemon)).stalled === '1');
    assert.equal(await read(join(target, 'shard-0')), sample.first);
    assert.match(await read(join(target, 'shard-1')), /Input\/output error/);
    await daemon.csi.NodePublishVolume(request);
    await waitFor('complete', () => isComplete(daemon, target));
    assert.equal(await read(join(target, 'shard-1')), sample.second);
    await waitFor('it is complete', async () => (await statesOf(daemon)).complete === '1');
  });
