import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { waitFor } from '../support/cluster/kubectl.ts';
import { artifact, pod, type Volume } from '../support/cluster/objects.ts';
import { hosts } from '../support/cluster/registries.ts';
import { clusterNeeds, shareCluster } from '../support/cluster/shared.ts';
import { sha256, tarOf } from '../support/oci/tar.ts';

/** The table of README.md: image volumes of Kubernetes, by containerd, beside volumes of the driver. */

const tiny = `${hosts.open}/models/tiny:1`;
const image = `${hosts.open}/images/tools:1`;

/** The same image by the runtime and by the driver. */
const both = (reference: string): Readonly<Record<'native' | 'ours', Volume>> => ({
  native: { image: { reference } },
  ours: artifact(reference),
});
const directories = ['/native', '/ours'] as const;

/** Two layers: programs, one with the setuid bit, a device, and files. */
async function tarsOf(mark: string): Promise<readonly Buffer[]> {
  return [
    await tarOf([
      [{ name: 'run.sh', mode: 0o755 }, '#!/bin/sh\necho ran\n'],
      [{ name: 'su', mode: 0o4755 }, 'setuid'],
      [{ name: 'null', type: 'character-device', devmajor: 1, devminor: 3 }],
      [{ name: 'data', type: 'directory' }],
      [{ name: 'data/hello.txt' }, `hello ${mark}`],
    ]),
    await tarOf([[{ name: 'second.txt' }, `second ${mark}`]]),
  ];
}

describe('image volumes of Kubernetes and volumes of the driver', clusterNeeds, () => {
  const cluster = shareCluster(async ({ installDriver, push, pushImage, apply, ready }) => {
    await Promise.all([
      installDriver(),
      push(tiny, { 'hello.txt': 'hello' }),
      pushImage(image, await tarsOf('tools')),
    ]);
    const volumeMounts = ['native', 'ours'].flatMap(name => [
      { name, mountPath: `/${name}` },
      { name, mountPath: `/${name}-part`, subPath: 'data' },
    ]);
    await apply(pod('both', { volumes: both(image), container: { volumeMounts } }));
    await ready('both');
  });

  /** What a pod sees of one file in its image volume, and in its volume of the driver. */
  const secondIn = (name: string): Promise<readonly string[]> =>
    Promise.all(directories.map(directory => cluster.exec(name, 'cat', `${directory}/second.txt`)));

  test('are in one pod and show the same files, also by a subPath', async () => {
    for (const directory of directories) {
      assert.equal(await cluster.exec('both', 'cat', `${directory}/data/hello.txt`), 'hello tools');
      assert.equal(await cluster.exec('both', 'cat', `${directory}-part/hello.txt`), 'hello tools');
    }
    assert.deepEqual(await secondIn('both'), ['second tools', 'second tools']);
  });

  test('are read-only: of the runtime an overlay for each pod, of the driver a mount of shared files', async () => {
    for (const directory of directories)
      await assert.rejects(cluster.exec('both', 'touch', `${directory}/new`), /Read-only file system/);
    const mounts = await cluster.exec('both', 'cat', '/proc/self/mountinfo');
    assert.match(mounts, / \/native ro,\S* .*- overlay .*upperdir=/);
    assert.match(mounts, /oci-artifact-csi\/views\/\w+ \/ours ro,|\/ours ro,\S+ - erofs /);
  });

  test('let programs run; setuid bits and devices are in image volumes only', async () => {
    for (const directory of directories)
      assert.equal(await cluster.exec('both', `${directory}/run.sh`), 'ran');
    assert.equal(await cluster.exec('both', 'stat', '-c', '%a', '/native/su', '/ours/su'), '4755\n755');
    assert.equal(await cluster.exec('both', 'ls', '/native'), 'data\nnull\nrun.sh\nsecond.txt\nsu');
    assert.equal(await cluster.exec('both', 'ls', '/ours'), 'data\nrun.sh\nsecond.txt\nsu');
  });

  test('have a size in the statistics of kubelet only if they are of the driver', async () => {
    type Sized = { readonly name: string; readonly usedBytes?: number; readonly capacityBytes?: number };
    type Pod = { readonly podRef: { readonly name: string }; readonly volume?: readonly Sized[] };
    let sized: readonly Sized[] = [];
    await waitFor('kubelet has measured the volume', async () => {
      const { pods } = JSON.parse(await cluster.askKubelet('stats/summary')) as { pods: readonly Pod[] };
      sized = pods.find(({ podRef }) => podRef.name === 'both')?.volume ?? [];
      return sized.some(({ name }) => name === 'ours');
    });
    assert.ok(!sized.some(({ name }) => name === 'native'));
    const ours = sized.find(({ name }) => name === 'ours');
    assert.ok((ours?.usedBytes ?? 0) > 0);
    assert.equal(ours?.usedBytes, ours?.capacityBytes);
  });

  test('tell of their pulls in the events of the pod, and the driver of the progress', async () => {
    const events = await cluster.events('both');
    assert.ok(events.includes(`Pulling image "${image}"`), events.join('\n'));
    await cluster.event('both', /^Successfully pulled image ".*tools:1" in .*Image size: \d+ bytes/);
    await cluster.event('both', /^Pulling .*tools:1 for the volume "ours": pulled .* of .*, \d of 2 layers/);
    await cluster.event('both', /^Pulled .*tools:1 for the volume "ours" in .* s: .* KiB/);
  });

  test('show an artifact that is not an image only if they are of the driver', async () => {
    const { native, ours } = both(tiny);
    await cluster.apply(pod('native', { volumes: { native } }), pod('ours', { volumes: { ours } }));
    await cluster.event('native', /^Successfully pulled image/);
    await cluster.event('native', /ImageVolumeMountFailed/);
    await cluster.ready('ours');
    assert.equal(await cluster.exec('ours', 'cat', '/ours/hello.txt'), 'hello');
  });

  test('are in a pod with a user namespace of its own', async () => {
    await cluster.apply(pod('userns', { volumes: both(image), spec: { hostUsers: false } }));
    await cluster.ready('userns');
    for (const directory of directories)
      assert.equal(await cluster.exec('userns', 'stat', '-c', '%u', `${directory}/data`), '0');
  });

  test('differ in who sees what a pod with CAP_SYS_ADMIN changes', async () => {
    const reference = await cluster.pushImage(`${hosts.open}/images/changed:1`, await tarsOf('right'));
    const container = { securityContext: { capabilities: { add: ['SYS_ADMIN'] } } };
    await cluster.apply(
      pod('changer', { volumes: both(reference), container }),
      pod('witness', { volumes: both(reference) }),
    );
    await cluster.ready('changer', 'witness');
    const change = (directory: string): Promise<string> => {
      const command = `mount -o remount,bind,rw ${directory}; echo -n changed > ${directory}/second.txt`;
      return cluster.exec('changer', 'sh', '-euc', command);
    };
    await change('/native');
    if ((await cluster.command('status')).includes('EROFS views: on')) {
      await assert.rejects(change('/ours'), /Read-only file system/);
      assert.deepEqual(await secondIn('changer'), ['changed', 'second right']);
      assert.deepEqual(await secondIn('witness'), ['second right', 'second right']);
    } else {
      await change('/ours');
      assert.deepEqual(await secondIn('changer'), ['changed', 'changed']);
      assert.deepEqual(await secondIn('witness'), ['second right', 'changed']);
    }
  });

  test('differ in what new pods get of files that changed on the disk of the node', async () => {
    const reference = await cluster.pushImage(`${hosts.open}/images/damaged:1`, await tarsOf('whole'));
    const start = async (name: string): Promise<readonly string[]> => {
      await cluster.apply(pod(name, { volumes: both(reference) }));
      await cluster.ready(name);
      return await secondIn(name);
    };
    assert.deepEqual(await start('before'), ['second whole', 'second whole']);
    // Not the layer as containerd downloaded it, which is not read again.
    const states = ['/var/lib/containerd', '/var/lib/oci-artifact-csi'];
    const found = await cluster.run('grep', ['-rl', 'second whole', ...states, '--exclude-dir=blobs']);
    const paths = found.trim().split('\n');
    assert.ok(
      states.every(state => paths.some(path => path.startsWith(state))),
      found,
    );
    for (const path of paths) {
      const bytes = await readFile(join(cluster.root, path));
      bytes.write('second false', bytes.indexOf('second whole'));
      await writeFile(join(cluster.root, path), bytes, { flag: 'r+' });
    }
    assert.deepEqual(await start('after'), ['second false', 'second whole']);
  });

  test('are not made of wrong bytes that a registry sends', async () => {
    const tars = await tarsOf('wrong');
    const reference = await cluster.pushImage(`${hosts.open}/images/wrong:1`, tars);
    const bytes = Buffer.from(tars[1] ?? '');
    const [blob = ''] = globSync(
      join(cluster.root, `var/lib/registries/5000/**/${sha256(bytes).slice('sha256:'.length)}/data`),
    );
    bytes.write('a');
    await writeFile(blob, bytes);
    const { native, ours } = both(reference);
    await cluster.apply(
      pod('wrong-native', { volumes: { native } }),
      pod('wrong-ours', { volumes: { ours } }),
    );
    await cluster.event('wrong-native', /unexpected commit digest sha256:/);
    await cluster.event('wrong-ours', /the 2048 bytes that came have digest sha256:/);
  });
});
