import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { type KubeletDirectory, kubeletDirectory } from '../../test/support/node/kubelet-directory.ts';
import { mountsBelow } from '../../test/support/os/mounts.ts';
import { runProgram } from '../../test/support/os/program.ts';
import { mountTmpfs } from '../../test/support/os/tmpfs.ts';
import { needs } from '../../test/support/project/tools.ts';
import { openMounter } from './mounter.ts';

const asRoot = needs('root');
const used: string[] = [];

async function openNode(): Promise<KubeletDirectory> {
  const node = await kubeletDirectory();
  used.push(node.path);
  return node;
}

test('a symlink at the target or above it is refused, and nothing behind it is changed', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const outside = join(node.path, 'outside');
  const decoy = join(outside, 'volumes/mount');
  mkdirSync(decoy, { recursive: true });
  runProgram('mount', '--bind', node.view, decoy);
  symlinkSync(decoy, node.target.path);
  symlinkSync(outside, join(node.kubeletDir, 'pods/linked'));
  for (const path of [node.target.path, join(node.kubeletDir, 'pods/linked/volumes/mount')]) {
    const target = { path, anywhere: false };
    const refused = { code: 'invalid', message: /symlink/ };
    await assert.rejects(mounter.state(target, node.view), refused);
    await assert.rejects(mounter.mount(node.view, target, []), refused);
    await assert.rejects(mounter.unmount(target), refused);
    await assert.rejects(mounter.unmount({ path, anywhere: true }), refused);
  }
  assert.equal(mountsBelow(decoy).length, 1);
  assert.equal(mountsBelow(node.kubeletDir).length, 0);
});

test('a file at the target or above it is refused and kept', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  writeFileSync(node.target.path, 'kept');
  for (const target of [node.target, { ...node.target, path: join(node.target.path, 'below') }]) {
    const refused = { code: 'invalid', message: /a file or goes through one/ };
    await assert.rejects(mounter.state(target, node.view), refused);
    await assert.rejects(mounter.mount(node.view, target, []), refused);
    await assert.rejects(mounter.unmount(target), refused);
  }
  assert.equal(readFileSync(node.target.path, 'utf8'), 'kept');
});

test('a path outside the kubelet directory is refused unless it may be anywhere', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const path = join(node.path, 'mine');
  await assert.rejects(mounter.mount(node.view, { path, anywhere: false }, []), {
    code: 'invalid',
    message: /--kubelet-dir/,
  });
  await mounter.mount(node.view, { path, anywhere: true }, []);
  assert.equal(readFileSync(join(path, 'model.txt'), 'utf8'), 'weights');
  await mounter.unmount({ path, anywhere: true });
  assert.equal(existsSync(path), false);
});

test(
  'a kubelet directory that is a symlink is followed, and paths are reported as kubelet spells them',
  asRoot,
  async () => {
    await using node = await openNode();
    const kubeletDir = join(node.path, 'kubelet-link');
    symlinkSync(node.kubeletDir, kubeletDir);
    const path = kubeletDir + node.target.path.slice(node.kubeletDir.length);
    {
      using mounter = openMounter({ kubeletDir });
      await mounter.mount(node.view, { path, anywhere: false }, []);
    }
    using mounter = openMounter({ kubeletDir: `${kubeletDir}/` });
    assert.deepEqual(await mounter.list(node.views), [{ target: path, source: node.view, dead: false }]);
    await mounter.unmount({ path, anywhere: false });
    assert.equal(existsSync(node.target.path), false);
  },
);

test('a missing kubelet directory is named when it is needed', asRoot, async () => {
  await using node = await openNode();
  const kubeletDir = join(node.path, 'none');
  using mounter = openMounter({ kubeletDir });
  assert.deepEqual(await mounter.list(node.views), []);
  const target = { path: join(kubeletDir, 'pods/x'), anywhere: false };
  await assert.rejects(mounter.state(target, undefined), {
    code: 'invalid',
    message: /kubelet's directory .* does not exist.*--kubelet-dir/,
  });
});

test('a failed mount leaves no directory, and a missing parent is named', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const gone = join(node.views, 'gone');
  await assert.rejects(mounter.mount(gone, node.target, []), {
    code: 'internal',
    message: /cannot mount .*gone.*ENOENT/,
  });
  const file = join(node.view, 'model.txt');
  await assert.rejects(mounter.mount(file, node.target, []), { code: 'internal', message: /cannot mount/ });
  assert.equal(existsSync(node.target.path), false);
  rmdirSync(dirname(node.target.path));
  await assert.rejects(mounter.mount(node.view, node.target, []), {
    code: 'invalid',
    message: /the directory \S+ does not exist/,
  });
});

test('these tests left no mount', asRoot, () => {
  assert.ok(used.length > 3);
  assert.deepEqual(used.flatMap(mountsBelow), []);
});

test('a path that is not valid on Linux is refused', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  for (const path of [`/tmp/${'x'.repeat(256)}`, `/tmp/${'x'.repeat(256)}/mount`, '/x'.repeat(2048)]) {
    const refused = {
      code: 'invalid',
      message: /must have at most 4095 bytes, and 255 in each name/,
    };
    await assert.rejects(mounter.state({ path, anywhere: true }, undefined), refused);
    await assert.rejects(mounter.mount(node.view, { path, anywhere: true }, []), refused);
    await assert.rejects(mounter.unmount({ path, anywhere: false }), refused);
  }
});

test('nothing is mounted in the state directory, nor in kernel filesystems', asRoot, async () => {
  await using node = await openNode();
  const stateDir = join(node.path, 'store');
  const linked = join(node.path, 'linked');
  mkdirSync(stateDir);
  symlinkSync(stateDir, linked);
  using mounter = openMounter({ ...node, stateDir: linked });
  for (const path of [stateDir, join(stateDir, 'views/mine'), '/proc/mine', '/sys/mine']) {
    const target = { path, anywhere: true };
    const refused = {
      code: 'invalid',
      message: /^cannot mount at .*: it is in .*; choose another directory$/,
    };
    await assert.rejects(mounter.state(target, undefined), refused);
    await assert.rejects(mounter.mount(node.view, target, []), refused);
  }
  assert.equal((await mounter.state({ path: `${stateDir}-mine`, anywhere: true }, undefined)).kind, 'absent');
});

test('a target on a read-only filesystem is reported as that', asRoot, async () => {
  await using node = await openNode();
  using mounter = openMounter(node);
  const disk = mountTmpfs(join(node.path, 'disk'), 'size=1m,ro');
  await assert.rejects(mounter.mount(node.view, { path: join(disk, 'mine'), anywhere: true }, []), {
    code: 'unavailable',
    message: /the filesystem there is read-only; mount it for writing$/,
  });
});
