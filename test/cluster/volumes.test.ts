import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { driverNamespace } from '../support/cluster/driver.ts';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, claim, claimed, namespace, pod } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { sha256 } from '../support/oci/tar.ts';

const tiny = `${hosts.open}/models/tiny:1`;
const weights = Buffer.alloc(3_000_000, 'weights ');
const options = { ...clusterNeeds, concurrency: 4 };
/** The securityContext of a container that may mount. */
const capable = { capabilities: { add: ['SYS_ADMIN'] } };

/** Bytes per second of the slow registry: above --min-download-rate, and a megabyte takes half a minute. */
const rate = 32_768;

describe('volumes of pods', options, () => {
  const cluster = shareCluster(async ({ installDriver, push, setRate }) => {
    const files = { 'hello.txt': 'hello', 'weights/w.bin': weights, 'config/c.json': '{}' };
    await Promise.all([installDriver(), push(tiny, files), setRate(rate)]);
  });

  test('a pod waits for a pull that takes longer than a call of kubelet, and its events tell how far it is', async () => {
    const content = randomBytes(rate * 130);
    await cluster.push(`${hosts.open}/models/large:1`, { 'large.bin': content });
    await cluster.apply(pod('patient', { volumes: { models: artifact(`${hosts.slow}/models/large:1`) } }));
    const began = performance.now();
    await cluster.event('patient', /^Pulling .*models\/large:1.* of 4\.\d MiB/);
    await cluster.ready('patient').catch(() => cluster.ready('patient')); // it takes longer than `ready` waits
    assert.ok(performance.now() - began > 120_000);
    const selector = '--field-selector=involvedObject.name=patient,reason=Pulling';
    const counts = await cluster.kubectl('get', 'events', selector, '--output=jsonpath={.items[*].count}');
    assert.match(counts, /^[2-9]$/, 'one event, which was updated');
    const [sum] = (await cluster.exec('patient', 'sha256sum', '/models/large.bin')).split(' ');
    assert.equal(`sha256:${sum}`, sha256(content));
  });

  test('a pull ends when its pod is deleted', async () => {
    await cluster.push(`${hosts.open}/models/unwanted:1`, { 'unwanted.bin': randomBytes(rate * 600) });
    await cluster.apply(pod('deleted', { volumes: { models: artifact(`${hosts.slow}/models/unwanted:1`) } }));
    const pulls = async (): Promise<string> => await cluster.command('status', '--output=json');
    await waitFor('the pull is under way', async () => (await pulls()).includes('models/unwanted'));
    await cluster.remove('deleted');
    // The call of kubelet waits almost two minutes, and the directory of the pod stays until it ends.
    await waitFor('the pull has ended', async () => !(await pulls()).includes('models/unwanted'), 150_000);
  });

  test('an inline volume shows the files of the artifact', async () => {
    await cluster.apply(pod('inline', { volumes: { models: artifact(tiny) } }));
    await cluster.ready('inline');
    assert.equal(await cluster.exec('inline', 'cat', '/models/hello.txt'), 'hello');
    const [sum] = (await cluster.exec('inline', 'sha256sum', '/models/weights/w.bin')).split(' ');
    assert.equal(`sha256:${sum}`, sha256(weights));
  });

  test('two pods share a claim, whose volume has a short name', async () => {
    await cluster.apply(...claim('tiny', 'models/tiny:1'));
    await cluster.apply(...['one', 'two'].map(name => pod(name, { volumes: { models: claimed('tiny') } })));
    await cluster.ready('one', 'two');
    const inode = ['stat', '-c', '%i %s', '/models/weights/w.bin'];
    assert.equal(await cluster.exec('one', ...inode), await cluster.exec('two', ...inode));
    await cluster.remove('one');
    assert.equal(await cluster.exec('two', 'cat', '/models/hello.txt'), 'hello');
  });

  test('a subPath of a volumeMount is a directory or a file', async () => {
    const volumeMounts = [
      { name: 'models', mountPath: '/directory', subPath: 'weights' },
      { name: 'models', mountPath: '/file.txt', subPath: 'hello.txt' },
    ];
    await cluster.apply(pod('sub', { volumes: { models: artifact(tiny) }, container: { volumeMounts } }));
    await cluster.ready('sub');
    assert.equal(await cluster.exec('sub', 'ls', '/directory'), 'w.bin');
    assert.equal(await cluster.exec('sub', 'cat', '/file.txt'), 'hello');
  });

  test('the attribute subPath makes a directory of the artifact the volume', async () => {
    await cluster.apply(pod('part', { volumes: { models: artifact(tiny, { subPath: 'config' }) } }));
    await cluster.ready('part');
    assert.equal(await cluster.exec('part', 'ls', '/models'), 'c.json');
  });

  test('a pod has ten volumes, each of its own artifact', async () => {
    const numbers = Array.from({ length: 10 }, (_, index) => index);
    const references = await Promise.all(
      numbers.map(number => cluster.push(`${hosts.open}/ten/m${number}:1`, { 'n.txt': String(number) })),
    );
    const volumes = Object.fromEntries(
      references.map((reference, number) => [`m${number}`, artifact(reference)]),
    );
    await cluster.apply(pod('ten', { volumes }));
    await cluster.ready('ten');
    const files = numbers.map(number => `/m${number}/n.txt`);
    assert.equal(await cluster.exec('ten', 'cat', ...files), numbers.join(''));
  });

  test('a restricted namespace admits a volume, which a user without privileges can read', async () => {
    const restricted = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await cluster.apply(namespace('restricted', restricted));
    const spec = {
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        fsGroup: 2000,
        seccompProfile: { type: 'RuntimeDefault' },
      },
    };
    const container = {
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    };
    const volumes = { models: artifact(tiny) };
    await cluster.apply(pod('reader', { namespace: 'restricted', volumes, spec, container }));
    await cluster.ready('restricted/reader');
    assert.equal(await cluster.exec('restricted/reader', 'cat', '/models/hello.txt'), 'hello');
    assert.equal(await cluster.exec('restricted/reader', 'stat', '-c', '%u %g', '/models/hello.txt'), '0 0');
  });

  test('a pod with a user namespace of its own sees the files as those of its root, and cannot remount them', async () => {
    const volumeMounts = [
      { name: 'models', mountPath: '/models' },
      { name: 'models', mountPath: '/directory', subPath: 'weights' },
    ];
    const container = { volumeMounts, securityContext: capable };
    await cluster.apply(
      pod('userns', { volumes: { models: artifact(tiny) }, spec: { hostUsers: false }, container }),
    );
    await cluster.ready('userns');
    assert.doesNotMatch(await cluster.exec('userns', 'cat', '/proc/self/uid_map'), /^\s*0\s+0\s/);
    assert.equal(await cluster.exec('userns', 'stat', '-c', '%u %g', '/models/hello.txt'), '0 0');
    assert.equal(await cluster.exec('userns', 'ls', '/directory'), 'w.bin');
    await assert.rejects(cluster.exec('userns', 'touch', '/models/new'), /Read-only file system/);
    await cluster.exec('userns', 'mount', '--bind', '/models', '/tmp');
    for (const directory of ['/models', '/tmp']) {
      const remount = ['mount', '-o', 'remount,bind,rw', directory];
      await assert.rejects(cluster.exec('userns', ...remount), /permission denied/);
    }
  });

  test('root in a container cannot write to a volume, nor remount or unmount it', async () => {
    await cluster.apply(pod('root', { volumes: { models: artifact(tiny) } }));
    await cluster.ready('root');
    await assert.rejects(cluster.exec('root', 'touch', '/models/hello.txt'), /Read-only file system/);
    await assert.rejects(cluster.exec('root', 'rm', '/models/hello.txt'), /Read-only file system/);
    for (const command of [
      ['mount', '-o', 'remount,rw', '/models'],
      ['umount', '/models'],
    ])
      await assert.rejects(cluster.exec('root', ...command), /permission denied|Operation not permitted/i);
  });

  test('what a pod with CAP_SYS_ADMIN changes, running pods see and no new pod gets', async () => {
    // Files that the artifacts of other tests do not have.
    const contents = {
      written: { 'hello.txt': 'a shared file', 'other.txt': 'the first' },
      renamed: { 'hello.txt': 'a file', 'other.txt': 'the second' },
      sharing: { 'hello.txt': 'a shared file', 'other.txt': 'the third' },
    };
    const changes = {
      written: 'echo changed > /models/hello.txt',
      renamed: 'rm /models/hello.txt; echo changed > /models/hello.txt; mv /models/other.txt /models/new.txt',
    };
    const contexts = { written: capable, renamed: { privileged: true }, sharing: {} };
    const changed = {
      written: 'changed\nhello.txt\nother.txt',
      renamed: 'changed\nhello.txt\nnew.txt',
      sharing: 'changed\nhello.txt\nother.txt',
    };
    type Kind = keyof typeof contents;
    const kinds = Object.keys(contents) as Kind[];
    const start = async (role: string, container: (kind: Kind) => object): Promise<void> => {
      const volumes = (kind: Kind) => ({ models: artifact(`${hosts.open}/models/${kind}:1`) });
      const pods = kinds.map(kind =>
        pod(`${kind}-${role}`, { volumes: volumes(kind), container: container(kind) }),
      );
      await cluster.apply(...pods);
      await cluster.ready(...kinds.map(kind => `${kind}-${role}`));
    };
    const shown = (name: string): Promise<string> =>
      cluster.exec(name, 'sh', '-c', 'cd /models && cat hello.txt && ls');

    await Promise.all(kinds.map(kind => cluster.push(`${hosts.open}/models/${kind}:1`, contents[kind])));
    await cluster.apply(...claim('told', `${hosts.open}/models/written:1`));
    await cluster.apply(pod('told', { volumes: { models: claimed('told') } }));
    await start('changer', kind => ({ securityContext: contexts[kind] }));
    await start('witness', () => ({}));
    await cluster.ready('told');
    for (const [kind, command] of Object.entries(changes))
      await cluster.exec(`${kind}-changer`, 'sh', '-euc', `mount -o remount,bind,rw /models; ${command}`);
    for (const kind of kinds) assert.equal(await shown(`${kind}-witness`), changed[kind]);
    await assert.rejects(cluster.command('fsck'), /exit code 7/);

    await start('later', () => ({}));
    for (const kind of kinds) {
      assert.equal(await shown(`${kind}-later`), `${contents[kind]['hello.txt']}hello.txt\nother.txt`);
      assert.equal(await shown(`${kind}-witness`), changed[kind]);
    }
    const listed = await cluster.command('volumes');
    assert.equal(listed.match(/ shows damaged content: /g)?.length, 2 * kinds.length + 1, listed);
    await cluster.event('written-witness', /^Damaged content of .*written:1 .*; delete the pod/);
    const health = 'jsonpath={.status.volumeHealth[*].healthConditions[*].message}';
    await waitFor('the status of a pod says that its volume shows damaged content', async () =>
      (await cluster.kubectl('get', 'pod', 'told', `--output=${health}`)).includes('shows damaged content'),
    );
    await cluster.remove('told', ...kinds.flatMap(kind => [`${kind}-changer`, `${kind}-witness`]));
    assert.match(await cluster.command('fsck'), / 0 damaged/);
  });

  test('Pod Security keeps CAP_SYS_ADMIN from the pods of a namespace', async () => {
    await cluster.apply(namespace('baseline', { 'pod-security.kubernetes.io/enforce': 'baseline' }));
    for (const securityContext of [capable, { privileged: true }]) {
      const changer = pod('changer', { namespace: 'baseline', container: { securityContext } });
      await assert.rejects(cluster.apply(changer), /violates PodSecurity "baseline/);
    }
  });

  test('noexec of a claim reaches a container that mounts it read-only recursively, and no other', async () => {
    await cluster.push(`${hosts.open}/tools:1`, { 'run.sh': '#!/bin/sh\necho ran\n' });
    await cluster.apply(...claim('noexec', `${hosts.open}/tools:1`, { mountOptions: ['noexec'] }));
    const recursive = { readOnly: true, recursiveReadOnly: 'Enabled' };
    await cluster.apply(
      pod('exec', { volumes: { models: claimed('noexec') } }),
      pod('noexec', { volumes: { models: claimed('noexec') }, mount: recursive }),
    );
    await cluster.ready('exec', 'noexec');
    const options = ['sh', '-c', 'grep " /models " /proc/self/mountinfo'];
    assert.doesNotMatch(await cluster.exec('exec', ...options), /noexec/);
    assert.match(await cluster.exec('noexec', ...options), /ro,nosuid,nodev,noexec/);
  });

  test('kubelet reports the size of a claim', async () => {
    await cluster.apply(...claim('measured', tiny));
    await cluster.apply(pod('measured', { volumes: { models: claimed('measured') } }));
    await cluster.ready('measured');
    const used = /^kubelet_volume_stats_used_bytes\{.*"measured".*\} (?<bytes>\S+)$/m;
    let bytes = 0;
    await waitFor('kubelet has measured the claim', async () => {
      bytes = Number(used.exec(await cluster.askKubelet('metrics'))?.groups?.['bytes']);
      return bytes > 0;
    });
    assert.ok(bytes >= weights.length, String(bytes));
  });

  test('helm test mounts the image of the driver in a pod without privileges', async () => {
    const args = ['test', 'oci-artifact-csi', '--namespace', driverNamespace, '--timeout=90s'];
    assert.match(await cluster.run('helm', args), /^Phase: +Succeeded$/m);
  });
});
