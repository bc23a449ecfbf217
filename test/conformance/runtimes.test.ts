import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  cpSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setXattr } from '../../src/linux/xattr.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { imageShownAt } from '../support/node/image-directory.ts';
import { kubeletDirectory } from '../support/node/kubelet-directory.ts';
import { openSetting, type Setting } from '../support/node/setting.ts';
import { findHarmful } from '../support/oci/harmless.ts';
import { pushImage } from '../support/oci/image.ts';
import { paxEntry, type RawEntry, rawTar } from '../support/oci/raw-tar.ts';
import { gzip } from '../support/oci/tar.ts';
import { runContainer } from '../support/signing/bundle.ts';

/** A node whose views are images, where the kernel can, and one whose views are trees. */
const settings = { images: await openSetting(), trees: await openSetting({ views: 'trees' }) } as const;

/** What a process may try on a volume at $1, each as one line of shell. */
const changes = {
  write: 'echo altered > $1/model.txt',
  append: 'echo altered >> $1/model.txt',
  truncate: 'truncate -s 0 $1/model.txt',
  chmod: 'chmod 4777 $1/model.txt',
  'chmod of the root': 'chmod 777 $1',
  chown: 'chown 1000 $1/model.txt',
  'touch (utimensat)': 'touch -d 2000-01-01 $1/model.txt',
  create: 'touch $1/new',
  mkdir: 'mkdir $1/newdir',
  link: 'ln $1/model.txt $1/linked',
  symlink: 'ln -s model.txt $1/symlinked',
  mknod: 'mknod $1/null c 1 3',
  'write by way of a symlink': 'echo altered > $1/latest',
  rename: 'mv $1/model.txt $1/renamed',
  remove: 'rm $1/directory/tokens.json',
} as const;

/** What needs CAP_SYS_ADMIN, tried without it, and with it in a user namespace of one's own. */
const remounts = {
  remount: 'mount -o remount,rw,bind $1 $1',
  'remount of the file system': 'mount -o remount,rw $1',
  unmount: 'umount $1',
  'another bind mount': 'mount --bind $1 /tmp && echo altered > /tmp/model.txt',
  'remount in a user namespace': 'unshare -Urm mount -o remount,rw,bind $1 $1',
} as const;

/** A script that tries all on a volume and prints `name: done`, or `name: ` and why not. */
function attempts(tries: Readonly<Record<string, string>>, at: string): string {
  return Object.entries(tries)
    .map(([name, line]) => `echo "${name}: $(sh -c '(${line}) 2>&1 && echo done' sh ${at} | tr '\\n' ' ')";`)
    .join('\n');
}

/** Each attempt's name and what came of it. */
function parseAttempts(output: string): [name: string, outcome: string][] {
  return output
    .trim()
    .split('\n')
    .map(line => {
      const at = line.indexOf(': ');
      return [line.slice(0, at), line.slice(at + 2).trim()];
    });
}

const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex'); // cap_net_raw, effective

/** A tar of what could give a process more power than it has; only an image may have the device. */
const harmful = (...devices: readonly RawEntry[]): Buffer =>
  rawTar(
    paxEntry({ 'SCHILY.xattr.security.capability': capability }),
    { name: 'model.txt', mode: '0004755', body: 'weights' },
    { name: 'directory', type: '5', mode: '0002775' },
    { name: 'directory/tokens.json', mode: '0006755', body: '{}' },
    { name: 'latest', type: '2', linkname: 'model.txt' },
    ...devices,
  );
const device: RawEntry = { name: 'zero', type: '3', mode: '0000666' };

/** Each kind of volume, the tar that it comes from, and how it is pushed. */
const kindsOf = ({ registry }: Setting) => ({
  artifact: {
    tar: harmful(),
    push: async (tar: Buffer) => {
      const layer = { bytes: gzip(tar), mediaType: 'application/vnd.acme.layer.v1.tar+gzip' };
      return (await registry.push('artifact', 'v1', [layer])).reference;
    },
  },
  image: {
    tar: harmful(device),
    push: async (tar: Buffer) => (await pushImage(registry, 'image', tar)).reference,
  },
});

/** Publishes it to a new pod. Answers where the pod sees it, and what the host has of it. */
async function publish(
  { node, daemon }: Setting,
  reference: string,
): Promise<{ readonly target: string; readonly view: string }> {
  const request = await publishRequest(node, { reference });
  await daemon.csi.NodePublishVolume(request);
  const { volumes } = await daemon.artifacts.ListVolumes({});
  const volume = volumes.find(({ target_path }) => target_path === request.target_path);
  const view = imageShownAt(node, request.target_path) ?? join(node.stateDir, 'views', volume?.view ?? '');
  return { target: request.target_path, view };
}

const cases = Object.entries(settings).flatMap(([views, setting]) =>
  Object.entries(kindsOf(setting)).map(([kind, pushed]) => ({ views, setting, kind, ...pushed })),
);

for (const { views, setting, kind, tar, push } of cases) {
  const { node } = setting;

  test(`a published ${kind} (${views}) has none of the harmful entries of its tar`, async () => {
    const extracted = join(node.path, `extracted-${kind}`);
    mkdirSync(extracted);
    execFileSync('tar', ['-xp', '--xattrs', '--xattrs-include=*', '-C', extracted], { input: tar });
    assert.deepEqual(findHarmful(extracted).sort(), [
      'directory/tokens.json: a setuid or setgid bit',
      'directory: a setuid or setgid bit',
      'model.txt: a setuid or setgid bit',
      'model.txt: security.capability',
      ...(kind === 'image' ? ['zero: neither a file, a directory nor a symlink'] : []),
    ]);
    const { target } = await publish(setting, await push(tar));
    assert.deepEqual(findHarmful(target), []);
    assert.deepEqual(readdirSync(target).sort(), ['directory', 'latest', 'model.txt']);
  });

  for (const runtime of ['runc', 'crun'] as const) {
    test(`root in a container of ${runtime}, with default capabilities, cannot change its ${kind} (${views})`, async () => {
      const { target, view } = await publish(setting, await push(tar));
      const control = join(node.path, `control-${kind}-${runtime}`);
      cpSync(target, control, { recursive: true, verbatimSymlinks: true });
      const before = list(view);
      assert.deepEqual(list(target), before);

      const mounts = [
        { source: target, destination: '/volume', options: ['rbind', 'rprivate', 'ro'] },
        { source: control, destination: '/control', options: ['rbind', 'rprivate', 'rw'] },
      ];
      const run = (script: string): string => runContainer(runtime, node.path, mounts, script);
      assert.match(run('cat /volume/latest /volume/directory/tokens.json'), /^weights\{\}$/);
      for (const [name, why] of parseAttempts(run(attempts(changes, '/volume')))) {
        assert.match(why, /Read-only file system$/, name);
      }
      for (const [name, why] of parseAttempts(run(attempts(remounts, '/volume')))) {
        assert.match(why, /(?:Operation not permitted|[Pp]ermission denied)/, name);
        assert.doesNotMatch(why, /done/, name);
      }
      assert.deepEqual(list(view), before);
      assert.deepEqual(list(target), before);
      assert.deepEqual(findHarmful(target), []);

      const possible = parseAttempts(run(attempts(changes, '/control')));
      assert.deepEqual(
        possible.filter(([, why]) => why !== 'done'),
        [],
        'on a directory that is not protected all of it succeeds',
      );
    });
  }
}

for (const runtime of ['runc', 'crun'] as const) {
  test(`a process of ${runtime} with SYS_ADMIN can remount an image for writing, and then not write`, async () => {
    const setting = settings.images;
    const { node } = setting;
    const { target, view } = await publish(setting, await kindsOf(setting).image.push(harmful(device)));
    const before = list(view);
    const mounts = [{ source: target, destination: '/volume', options: ['rbind', 'rprivate', 'rw'] }];
    const script = `mount -o remount,rw,bind /volume && echo remounted; ${attempts(changes, '/volume')}`;
    const [remounted, ...tried] = runContainer(runtime, node.path, mounts, script, ['CAP_SYS_ADMIN'])
      .trim()
      .split('\n');
    assert.equal(remounted, 'remounted');
    for (const [name, why] of parseAttempts(tried.join('\n')))
      assert.match(why, /Read-only file system$/, name);
    assert.deepEqual(list(view), before);
    assert.deepEqual(list(target), before);
  });
}

test('a setuid bit, a device and a file capability are found in a tree', async () => {
  await using directory = await kubeletDirectory();
  const file = join(directory.view, 'model.txt');
  chmodSync(file, 0o4755);
  const fd = openSync(file, 'r');
  setXattr(fd, 'security.capability', Uint8Array.of(0, 0, 0, 2, ...new Uint8Array(16)));
  closeSync(fd);
  spawnSync('mknod', [join(directory.view, 'null'), 'c', '1', '3']);
  assert.deepEqual(findHarmful(directory.view).sort(), [
    'model.txt: a setuid or setgid bit',
    'model.txt: security.capability',
    'null: neither a file, a directory nor a symlink',
  ]);
});

/** Every entry of a tree with all that a change would alter. */
function list(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(name => {
      const { mode, uid, size, mtimeMs, nlink } = lstatSync(join(directory, name));
      const content = name === 'directory' ? '' : readFileSync(join(directory, name), 'utf8');
      return [name, mode.toString(8), uid, size, mtimeMs, nlink, content].join(' ');
    });
}
