import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { type KubeletDirectory, kubeletDirectory } from '../../test/support/node/kubelet-directory.ts';
import { directory } from '../../test/support/oci/nodes.ts';
import { writeImageFile } from '../../test/support/os/erofs-image.ts';
import { mountsBelow } from '../../test/support/os/mounts.ts';
import { runProgram } from '../../test/support/os/program.ts';
import { mountTmpfs } from '../../test/support/os/tmpfs.ts';
import { needs } from '../../test/support/project/tools.ts';
import { openDirectory } from '../linux/directory.ts';
import { createErofsMount } from '../linux/erofs.ts';
import { attachMount } from '../linux/mount.ts';
import type { Mounter } from '../ports/mounter.ts';
import { openMounter } from './mounter.ts';

const asRoot = needs('root');
const used: string[] = [];

async function openNode(): Promise<KubeletDirectory> {
  const node = await kubeletDirectory();
  used.push(node.path);
  return node;
}

test('a mounted view can be read, and refuses every change with EROFS', asRoot, async () => {
  await using node = await openNode();
  using opened = openMounter(node);
  const mounter: Mounter = opened;
  const file = join(node.target.path, 'model.txt');
  await mounter.mount(node.view, node.target, []);
  assert.equal(readFileSync(file, 'utf8'), 'weights');
  for (const change of [
    () => writeFileSync(file, 'altered'),
    () => writeFileSync(join(node.target.path, 'new'), ''),
    () => chmodSync(file, 0o777),
    () => chmodSync(node.target.path, 0o777),
    () => renameSync(file, `${file}.old`),
    () => unlinkSync(file),
  ]) {
    assert.throws(change, { code: 'EROFS' });
  }
  assert.equal(readFileSync(join(node.view, 'model.txt'), 'utf8'), 'weights');
});

test('a mount is read-only, nosuid and nodev; noexec and noatime if requested', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const always = ['ro', 'nosuid', 'nodev'];
  await mounter.mount(node.view, node.target, ['ro']);
  assert.deepEqual(mountsBelow(node.kubeletDir)[0]?.options, [...always, 'relatime']);
  await mounter.unmount(node.target);
  await mounter.mount(node.view, node.target, ['noexec', 'noatime', 'nosuid', 'nodev']);
  assert.deepEqual(mountsBelow(node.kubeletDir)[0]?.options, [...always, 'noexec', 'noatime']);
});

test('a volume has the flags that it requests, and none of the disk of the cache', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  mountTmpfs(node.view, 'noexec,noatime');
  runProgram('mount', '-o', 'remount,bind,noexec,noatime,nosymfollow', node.view);
  copyFileSync('/usr/bin/true', join(node.view, 'run'));
  runProgram('ln', '-s', 'run', join(node.view, 'link'));
  const run = (name: string) => spawnSync(join(node.target.path, name)).status;
  await mounter.mount(node.view, node.target, []);
  assert.deepEqual([run('run'), run('link')], [0, 0]);
  await mounter.unmount(node.target);
  await mounter.mount(node.view, node.target, ['noexec']);
  assert.equal(run('run'), null);
});

for (const [propagation, isSeen] of [
  ['shared', true],
  ['private', false],
  ['slave', false],
] as const) {
  test(
    `below a ${propagation} mount of a container a pod is ${isSeen ? '' : 'not '}given a volume`,
    asRoot,
    async () => {
      await using node = await openNode();
      runProgram('mount', '--bind', node.kubeletDir, node.kubeletDir);
      runProgram('mount', '--make-shared', node.kubeletDir);
      runProgram('mount', `--make-${propagation}`, node.kubeletDir);
      using mounter = openMounter({ ...node, isApart: true });
      const how = /mountPropagation: Bidirectional.* at the volumeMount of /;
      if (isSeen) {
        assert.equal(mounter.problem(), undefined);
        await mounter.mount(node.view, node.target, []);
        return;
      }
      assert.match(mounter.problem() ?? '', how);
      await assert.rejects(mounter.mount(node.view, node.target, []), { code: 'unavailable', message: how });
      assert.ok(!existsSync(node.target.path));
      // A manual mount is for users inside the container, and unmounting must always be possible.
      await mounter.mount(node.view, { path: node.target.path, anywhere: true }, []);
      await mounter.unmount(node.target);
      using host = openMounter({ ...node, isApart: false });
      assert.equal(host.problem(), undefined);
      await host.mount(node.view, node.target, []);
    },
  );
}

test('a directory that is to stay stays, with its content', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  mkdirSync(node.target.path);
  await mounter.mount(node.view, node.target, []);
  await mounter.unmount({ ...node.target, keepsDirectory: true });
  assert.deepEqual(readdirSync(node.target.path), []);
  writeFileSync(join(node.target.path, 'mine'), '');
  await mounter.unmount({ ...node.target, keepsDirectory: true });
  assert.deepEqual(readdirSync(node.target.path), ['mine']);
});

test('a device and a setuid program of a view have no effect', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  runProgram('mknod', join(node.view, 'zero'), 'c', '1', '5');
  copyFileSync('/usr/bin/id', join(node.view, 'id'));
  chmodSync(join(node.view, 'id'), 0o4755);
  await mounter.mount(node.view, node.target, []);
  assert.throws(() => openSync(join(node.target.path, 'zero'), 'r'), { code: 'EACCES' });
  const capability = '+dac_read_search'; // to reach a directory that only root can open
  const user = [
    '--reuid=12345',
    '--clear-groups',
    `--inh-caps=${capability}`,
    `--ambient-caps=${capability}`,
  ];
  assert.equal(runProgram('setpriv', ...user, join(node.target.path, 'id'), '-u').trim(), '12345');
});

test('the state of a target: absent, empty, occupied, mounted', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const { target, view } = node;
  const other = join(node.views, 'other');
  mkdirSync(other);
  assert.deepEqual(await mounter.state({ ...target, path: join(node.kubeletDir, 'pods/none/mount') }, view), {
    kind: 'absent',
  });
  const parentless = { path: join(node.kubeletDir, 'none/mount'), anywhere: true };
  await assert.rejects(
    mounter.state(parentless, undefined),
    /the directory \/\S+\/none does not exist; create it$/,
  );
  assert.deepEqual(await mounter.state(target, view), { kind: 'absent' });
  mkdirSync(target.path);
  assert.deepEqual(await mounter.state(target, view), { kind: 'empty' });
  writeFileSync(join(target.path, 'entry'), '');
  assert.deepEqual(await mounter.state(target, view), { kind: 'occupied', entry: 'entry' });
  rmSync(join(target.path, 'entry'));
  await mounter.mount(view, target, []);
  assert.deepEqual(await mounter.state(target, view), { kind: 'mounted', shows: 'view', readOnly: true });
  for (const wanted of [undefined, other, join(node.views, 'gone')]) {
    assert.deepEqual(await mounter.state(target, wanted), {
      kind: 'mounted',
      shows: 'other',
      readOnly: true,
    });
  }
  runProgram('mount', '--bind', other, target.path);
  assert.deepEqual(await mounter.state(target, other), { kind: 'mounted', shows: 'view', readOnly: false });
});

test('an occupied or mounted target is not changed', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  mkdirSync(node.target.path);
  await mounter.mount(node.view, node.target, []);
  await assert.rejects(mounter.mount(node.view, node.target, []), {
    code: 'exists',
    message: /mount point already/,
  });
  assert.equal(mountsBelow(node.kubeletDir).length, 1);
  await mounter.unmount(node.target);
  mkdirSync(node.target.path);
  writeFileSync(join(node.target.path, 'entry'), 'kept');
  await assert.rejects(mounter.mount(node.view, node.target, []), {
    code: 'exists',
    message: /holds "entry"/,
  });
  await assert.rejects(mounter.unmount(node.target), { code: 'unmountable', message: /holds "entry"/ });
  assert.equal(readFileSync(join(node.target.path, 'entry'), 'utf8'), 'kept');
});

test('unmount removes the target, keeps the view, and succeeds again', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  await mounter.unmount(node.target);
  await mounter.mount(node.view, node.target, []);
  for (let times = 0; times < 2; times++) {
    await mounter.unmount(node.target);
    assert.equal(existsSync(node.target.path), false);
  }
  await mounter.unmount({ ...node.target, path: join(node.kubeletDir, 'pods/none/mount') });
  assert.equal(readFileSync(join(node.view, 'model.txt'), 'utf8'), 'weights');
  assert.ok(existsSync(dirname(node.target.path)));
});

test('unmount removes a volume although a process uses it', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  await mounter.mount(node.view, node.target, []);
  const reader = openSync(join(node.target.path, 'model.txt'), 'r');
  await mounter.unmount(node.target);
  assert.equal(existsSync(node.target.path), false);
  assert.equal(readFileSync(reader, 'utf8'), 'weights');
  closeSync(reader);
});

test('unmount removes all stacked mounts of a target, and no others', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const beside = { ...node.target, path: `${node.target.path}2` };
  await mounter.mount(node.view, beside, []);
  await mounter.mount(node.view, node.target, []);
  runProgram('mount', '--bind', node.view, node.target.path);
  runProgram('mount', '-t', 'tmpfs', 'tmpfs', node.target.path);
  assert.equal(mountsBelow(node.target.path).length, 3);
  await mounter.unmount(node.target);
  assert.equal(existsSync(node.target.path), false);
  assert.deepEqual(
    mountsBelow(node.kubeletDir).map(({ mountPoint }) => mountPoint),
    [beside.path],
  );
});

test('a mount whose view was removed is dead, and is cleaned up', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  await mounter.mount(node.view, node.target, []);
  rmSync(node.view, { recursive: true });
  assert.deepEqual(await mounter.state(node.target, node.view), {
    kind: 'mounted',
    shows: 'dead',
    readOnly: true,
  });
  assert.deepEqual(await mounter.list(node.views), [
    { target: node.target.path, source: node.view, dead: true },
  ]);
  mkdirSync(node.view);
  assert.deepEqual(await mounter.state(node.target, node.view), {
    kind: 'mounted',
    shows: 'dead',
    readOnly: true,
  });
  await mounter.unmount(node.target);
  assert.equal(existsSync(node.target.path), false);
});

/** A filesystem whose server never answers, and is gone when the descriptor is closed. */
function mountFuse(path: string): number {
  const server = openSync('/dev/fuse', 'r+');
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const mounted = spawnSync('mount', ['-i', '-t', 'fuse', '-o', options, 'test', path], {
    stdio: ['ignore', 'ignore', 'inherit', server],
  });
  assert.equal(mounted.status, 0);
  return server;
}

test(
  'a FUSE mount whose server is silent is not waited for, however often it is inspected',
  asRoot,
  async () => {
    await using node = await openNode();
    using mounter = openMounter(node);
    mkdirSync(node.target.path);
    const server = mountFuse(node.target.path);
    const states = Array.from({ length: 8 }, () => mounter.state(node.target, node.view));
    const other = { kind: 'mounted', shows: 'other', readOnly: false };
    for (const state of await Promise.all(states)) assert.deepEqual(state, other);
    await stat(node.path); // this blocks one thread
    await mounter.unmount(node.target);
    closeSync(server);
    assert.equal(existsSync(node.target.path), false);
  },
);

test('a FUSE mount whose server is gone (ENOTCONN) is dead, and is cleaned up', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  mkdirSync(node.target.path);
  closeSync(mountFuse(node.target.path));
  assert.throws(() => readdirSync(node.target.path), { code: 'ENOTCONN' });
  assert.deepEqual(await mounter.state(node.target, node.view), {
    kind: 'mounted',
    shows: 'dead',
    readOnly: false,
  });
  await mounter.unmount(node.target);
  assert.equal(existsSync(node.target.path), false);
});

test('a disk may be mounted on the kubelet directory while the daemon runs', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  assert.equal((await mounter.state(node.target, node.view)).kind, 'absent');
  mountTmpfs(node.kubeletDir, 'size=1m');
  mkdirSync(dirname(node.target.path), { recursive: true });
  await mounter.mount(node.view, node.target, []);
  assert.equal((await mounter.state(node.target, node.view)).kind, 'mounted');
  await mounter.unmount(node.target);
});

test('without the privilege to mount, the error says what the daemon needs', asRoot, async () => {
  await using node = await openNode();
  const script = `
    import { openMounter } from ${JSON.stringify(new URL('./mounter.ts', import.meta.url).href)};
    using mounter = openMounter(${JSON.stringify({ kubeletDir: node.kubeletDir })});
    await mounter.mount(${JSON.stringify(node.view)}, ${JSON.stringify(node.target)}, []).catch(error => {
      console.log(error.code, error.message);
    });`;
  const arguments_ = ['--bounding-set', '-sys_admin', process.execPath, '--input-type=module', '-e', script];
  const { stdout, stderr } = spawnSync('setpriv', arguments_, { encoding: 'utf8' });
  assert.match(stdout, /^denied .*mount.*EPERM.*privileged: true/, stderr);
  assert.equal(existsSync(node.target.path), false);
});

test('these tests left no mount', asRoot, () => {
  assert.ok(used.length > 10);
  assert.deepEqual(used.flatMap(mountsBelow), []);
});

test('a mount that no record names is unmounted only if it is a view', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const { path } = node.target;
  await mounter.unmountView(node.target); // there is nothing
  await mounter.mount(node.view, node.target, []);
  await mounter.unmountView(node.target);
  assert.ok(!existsSync(path));
  await mounter.mount(node.view, node.target, []);
  rmSync(node.view, { recursive: true });
  await mounter.unmountView(node.target);
  assert.ok(!existsSync(path), 'a removed view is a view');

  mountTmpfs(path, 'size=1m');
  writeFileSync(join(path, 'data'), 'precious');
  await assert.rejects(mounter.unmountView(node.target), {
    code: 'unmountable',
    message: /is no volume of this driver/,
  });
  assert.equal(readFileSync(join(path, 'data'), 'utf8'), 'precious');
});

test('an image that no record names is unmounted only if it is that of a view', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const { path } = node.target;
  const mountImage = (name: string): void => {
    const image = join(node.path, name);
    const device = `${image}.device`;
    mkdirSync(dirname(image), { recursive: true });
    writeFileSync(device, Buffer.alloc(512));
    writeImageFile(image, directory({}), { blocks: 1 });
    mkdirSync(path, { recursive: true });
    using mount = createErofsMount({ image, devices: [device] });
    using parent = openDirectory(dirname(path));
    attachMount(mount, parent, basename(path));
  };
  mountImage(`former/views/key.erofs/${randomUUID()}`);
  rmSync(join(node.path, 'former'), { recursive: true });
  await mounter.unmountView(node.target);
  assert.ok(!existsSync(path), 'an image of a state directory that is gone is that of a view');

  const foreign = 'snapshots/7/layer.erofs';
  mountImage(foreign);
  await assert.rejects(mounter.unmountView(node.target), { code: 'unmountable', message: /layer\.erofs/ });
  assert.equal(mountsBelow(path).length, 1);
});
