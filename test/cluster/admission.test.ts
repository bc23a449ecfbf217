import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { driverName } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, claim, pod, podSpec, type Volume } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';

const tiny = `${hosts.open}/models/tiny:1`;
const denied = artifact(`${hosts.open}/denied/model:1`);

/** An inline volume with these fields and attributes, whatever they are. */
const inline = (attributes: Readonly<Record<string, string>>, more: object = { readOnly: true }): Volume => ({
  csi: { driver: driverName, ...more, volumeAttributes: attributes },
});
const withoutReadOnly = inline({ reference: tiny }, {});

const ofApps = (kind: string) => (name: string, volume: Volume) => {
  const labels = { app: name };
  const spec = podSpec({ volumes: { models: volume } });
  const counted = kind === 'DaemonSet' ? {} : { replicas: 0 };
  const template = { metadata: { labels }, spec: { ...spec, nodeSelector: { on: 'no-node' } } };
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, namespace: 'default' },
    spec: { ...counted, selector: { matchLabels: labels }, template },
  };
};
const jobSpec = (volume: Volume): object => ({
  suspend: true,
  template: { spec: { ...podSpec({ volumes: { models: volume } }), restartPolicy: 'Never' } },
});
const metadata = (name: string): object => ({ name, namespace: 'default' });

/** Each kind of object that has volumes, with one. None of them starts a pod. */
const kinds: Readonly<Record<string, (name: string, volume: Volume) => object>> = {
  Pod: (name, volume) =>
    pod(name, { volumes: { models: volume }, spec: { nodeSelector: { on: 'no-node' } } }),
  Deployment: ofApps('Deployment'),
  StatefulSet: ofApps('StatefulSet'),
  DaemonSet: ofApps('DaemonSet'),
  ReplicaSet: ofApps('ReplicaSet'),
  Job: (name, volume) => ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: metadata(name),
    spec: jobSpec(volume),
  }),
  CronJob: (name, volume) => ({
    apiVersion: 'batch/v1',
    kind: 'CronJob',
    metadata: metadata(name),
    spec: { schedule: '0 0 1 1 *', suspend: true, jobTemplate: { spec: jobSpec(volume) } },
  }),
  PersistentVolume: (name, { csi }) => {
    const { volumeAttributes } = csi as { readonly volumeAttributes: object };
    const [object] = claim(name, tiny, { csi: { volumeAttributes } });
    return object ?? {};
  },
};

/** Volumes that are refused, and why. */
const refusals: Readonly<Record<string, readonly [Volume, RegExp]>> = {
  'an unknown attribute': [
    inline({ reference: tiny, refernce: tiny }),
    /there is no volume attribute refernce; those that exist are reference, pullPolicy/,
  ],
  'no reference': [inline({ subPath: 'a' }), /has no reference; set volumeAttributes\.reference/],
  'an empty reference': [inline({ reference: '' }), /has no reference; set volumeAttributes\.reference/],
  'an unknown pullPolicy': [
    artifact(tiny, { pullPolicy: 'Sometimes' }),
    /pullPolicy of a volume must be Always, IfNotPresent or Never/,
  ],
  'an unknown unpack': [
    artifact(tiny, { unpack: 'perhaps' }),
    /unpack of a volume must be auto, never or always/,
  ],
  'an unknown loading': [artifact(tiny, { loading: 'lazy' }), /loading of a volume must be full or onDemand/],
  'a denied reference': [denied, /references that match \/denied\/ are denied in this cluster/],
};

describe('admission policies of the chart', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, push, apply }) => {
    await push(tiny, { 'hello.txt': 'hello' });
    await apply(ofApps('Deployment')('older', denied));
    await installDriver({ admission: { setReadOnly: true, validate: true, deniedReferences: ['/denied/'] } });
  });
  const refuses = async (object: object, message: RegExp): Promise<boolean> => {
    const reason = await cluster.apply(object).then(
      () => '',
      (error: unknown) => String(error),
    );
    return message.test(reason);
  };

  test('readOnly of a volume is set', async () => {
    const read = ['get', 'pod', 'writable', '-o=jsonpath={.spec.volumes[0].csi.readOnly}'];
    await waitFor('the policy is in force', async () => {
      await cluster.apply(pod('writable', { volumes: { models: withoutReadOnly } }));
      const isSet = (await cluster.kubectl(...read)) === 'true';
      if (!isSet) await cluster.remove('writable');
      return isSet;
    });
    await cluster.ready('writable');
    assert.equal(await cluster.exec('writable', 'cat', '/models/hello.txt'), 'hello');
    await cluster.remove('writable');
  });

  test('every kind of object is refused at once for what the driver would refuse later', async () => {
    const [kind = ofApps('Deployment')] = Object.values(kinds);
    let tries = 0;
    await waitFor('the policy is in force', () =>
      refuses(kind(`early-${++tries}`, denied), /denied in this cluster/),
    );
    for (const [name, toObject] of Object.entries(kinds))
      for (const [what, [volume, message]] of Object.entries(refusals))
        await assert.rejects(
          cluster.apply(toObject('refused', volume)),
          (error: unknown) =>
            message.test(String(error)) || assert.fail(`${name}, ${what}: ${String(error)}`),
          `${name} with ${what}`,
        );
  });

  test('every kind of object with a good volume is admitted', async () => {
    const attributes = { pullPolicy: 'Always', unpack: 'auto', loading: 'onDemand', subPath: 'a' };
    for (const toObject of Object.values(kinds))
      await cluster.apply(toObject('good', artifact(tiny, { ...attributes, platform: 'linux/arm64' })));
    await cluster.apply(pod('without', {}));
    assert.ok(await refuses(ofApps('Deployment')('good', denied), /denied in this cluster/), 'an update');
  });

  test('what was there before can be labelled, scaled and removed', async () => {
    await cluster.kubectl('label', 'deployment', 'older', 'a=b');
    await cluster.kubectl('scale', 'deployment', 'older', '--replicas=1');
    await cluster.kubectl('scale', 'deployment', 'older', '--replicas=0');
    await cluster.kubectl('delete', 'deployment', 'older', '--timeout=60s');
  });

  test('without setReadOnly, every inline volume must say readOnly', async () => {
    await cluster.installDriver({ admission: { setReadOnly: false, validate: true } });
    const message = /is not read-only; set readOnly to true under volumes\[\]\.csi/;
    const { PersistentVolume: _, ...ofPods } = kinds;
    for (const [name, toObject] of Object.entries(ofPods)) {
      const object = toObject('unset', withoutReadOnly);
      await waitFor(`${name} is refused`, async () => {
        if (await refuses(object, message)) return true;
        await cluster.kubectl('delete', name, 'unset', '--ignore-not-found', '--timeout=60s');
        return false;
      });
      await cluster.apply(toObject('set', artifact(tiny)));
    }
    await cluster.apply(kinds['PersistentVolume']?.('set', artifact(tiny)) ?? {});
  });
});
