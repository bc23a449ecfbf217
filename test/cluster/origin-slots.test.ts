import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { askAsDaemon, leases, nodeLease } from '../support/cluster/daemon-request.ts';
import { driverNamespace } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, pod } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';

/** Smaller blobs wait for no slot. */
const waitingSize = 2_000_000;

describe('the slots of a registry', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, setRate }) => {
    await installDriver({ podPullSecrets: false, originSlots: 1 });
    await setRate(1_000_000);
  });

  const read = (...words: readonly string[]): Promise<string> => cluster.kubectl('get', ...words);
  /** The Leases of the driver, each with its holder. */
  const slots = async (): Promise<readonly string[]> => {
    const each = '-o=jsonpath={range .items[*]}{.metadata.name} {.spec.holderIdentity}{"\\n"}{end}';
    const lines = (await read('lease', '-n', driverNamespace, each)).split('\n');
    return lines.filter(line => line.startsWith('oci-artifact-csi-'));
  };
  /** A pod with an artifact of its own, which comes slowly. */
  const start = async (name: string, bytes: number): Promise<void> => {
    const reference = `${hosts.slow}/models/${name}:1`;
    await cluster.push(reference, { 'weights.bin': randomBytes(bytes) });
    await cluster.apply(pod(name, { volumes: { models: artifact(reference) } }));
  };
  const ends = async (name: string): Promise<void> => {
    await cluster.ready(name);
    await cluster.remove(name);
  };
  const status = (): Promise<string> => cluster.command('status');
  let slot = '';

  test('a node takes a slot by the rights that the chart gives, and gives it back after the pull', async () => {
    const node = await read('node', '-o=jsonpath={.items[0].metadata.name}');
    await start('held', 5_000_000);
    await waitFor('the slot is taken', async () => (await slots()).length === 1);
    const [line = ''] = await slots();
    assert.match(line, /^oci-artifact-csi-origin-registry-test-5002-[0-9a-f]{12}-0 /);
    const [name = '', holder] = line.split(' ');
    assert.equal(holder, node);
    slot = name;
    await ends('held');
    await waitFor('the slot is given back', async () => (await slots()).length === 0);
    assert.doesNotMatch(await status(), /--origin-slots/);
  });

  test('a node waits while another has the slot, says so, and goes on when it is free', async () => {
    await cluster.apply(nodeLease(slot, 'another-node', 3600));
    await start('waits', waitingSize);
    const waits = /waits for the slot of registry\.test:5002 \(held by another-node\) until 20\d\d-/;
    await cluster.event('waits', waits);
    assert.match(await status(), waits);
    await cluster.kubectl('delete', 'lease', '-n', driverNamespace, slot);
    await ends('waits');
  });

  test('a daemon can change only Leases of the driver, for its own node', async () => {
    const create = (name: string, holder: string): Promise<string> =>
      askAsDaemon(cluster, { method: 'POST', path: leases, body: nodeLease(name, holder, 60) });
    assert.match(await create('kube-scheduler', 'any'), /only its own/);
    assert.match(await create('oci-artifact-csi-origin-x', 'another'), /for its own node only/);
  });

  test('without the right to Leases pulls go on, and status, /readyz and the log name the rule', async () => {
    const role = ['role', '-n', driverNamespace, 'oci-artifact-csi-leases'];
    await cluster.apply(nodeLease(slot, 'another-node', 3600)); // nobody waits for it
    await cluster.kubectl('delete', ...role);
    await start('forbidden', waitingSize);
    await ends('forbidden');
    const missing =
      /the slots of --origin-slots cannot be taken: this daemon may not get leases in the namespace oci-artifact-csi; .*\{apiGroups: \["coordination\.k8s\.io"\], resources: \[leases\], verbs: \[get\]\}/;
    assert.match(await status(), missing);
    const address = await read('pod', '-n', driverNamespace, '-o=jsonpath={.items[0].status.podIP}');
    const ready = ['--silent', '--fail', `http://${address}:9809/readyz`];
    assert.match(await cluster.run('curl', ready), missing);
    assert.match((await cluster.driverLog()).replaceAll('\\"', '"'), missing);

    await cluster.kubectl('delete', 'lease', '-n', driverNamespace, slot);
    await cluster.installDriver({ podPullSecrets: false, originSlots: 1 });
    // Until then it asks again a minute after it was refused.
    await waitFor('the node wants no slot any more', async () => {
      const metrics = await cluster.run('curl', ['--silent', '--fail', `http://${address}:9809/metrics`]);
      return /^oci_artifact_csi_origins\{state="without"\} 0$/m.test(metrics);
    });
    await start('allowed', 5_000_000);
    await waitFor('the slot is taken', async () => (await slots()).length === 1);
    await ends('allowed');
  });
});
