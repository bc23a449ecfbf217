import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { kubeletDirectory } from '../../test/support/node/kubelet-directory.ts';
import { directory } from '../../test/support/oci/nodes.ts';
import { writeImageFile } from '../../test/support/os/erofs-image.ts';
import { mountsBelow, unmountBelow } from '../../test/support/os/mounts.ts';
import { mountTmpfs } from '../../test/support/os/tmpfs.ts';
import { needs } from '../../test/support/project/tools.ts';
import { toDigest } from '../oci/digest.ts';
import { blobAttributes, type FileNode } from '../tree/tree.ts';
import { openMounts } from './mounts.ts';

const asRoot = needs('root');
const source = { kind: 'tar', digest: toDigest('sha256', '0'.repeat(64)) } as const;

/** A node with the image of a view, whose file `f` has the text `shown`. */
async function openNode({ kubelet = 'kubelet' } = {}) {
  await using stack = new AsyncDisposableStack();
  const { path, views, target, kubeletDir: real } = stack.use(await kubeletDirectory());
  const kubeletDir = join(path, kubelet);
  if (kubeletDir !== real) {
    renameSync(real, `${real}.real`);
    symlinkSync(`${real}.real`, kubeletDir);
  }
  const options = {
    kubeletDir,
    driverName: 'driver.example',
    stateDir: join(path, 'state'),
    selinuxLabel: '',
  };
  const mounts = stack.use(openMounts(options));
  const at = join(views, 'key.erofs');
  mkdirSync(at);
  const image = { file: join(at, randomUUID()), devices: [join(path, 'device')], isDirect: false };
  writeFileSync(join(path, 'device'), Buffer.alloc(512, 'shown'));
  const f: FileNode = { kind: 'file', source, body: 0, size: 5, attributes: blobAttributes, layer: '' };
  writeImageFile(image.file, directory({ f }), { blocks: 1 });
  const directoryOfImages = join(kubeletDir, 'plugins/driver.example-views');
  const own = stack.move();
  return {
    ...mounts,
    views,
    view: { path: at, image },
    target: { ...target, path: target.path.replace(real, kubeletDir) },
    directory: directoryOfImages,
    list: () => readdirSync(directoryOfImages),
    [Symbol.asyncDispose]: () => own.disposeAsync(),
  };
}

test('an image is mounted once, and ends with the last volume that shows it', asRoot, async () => {
  await using node = await openNode();
  const { images, mounter, view, target } = node;
  const name = basename(view.image.file);
  mkdirSync(join(node.directory, 'of somebody else'), { recursive: true });
  images.raise(view);
  images.raise(view);
  await mounter.mount(images.shown(view), target, []);
  assert.equal(readFileSync(join(target.path, 'f'), 'utf8'), 'shown');
  images.tidy();
  assert.equal(mountsBelow(node.directory).length, 1);
  assert.deepEqual(await mounter.list(node.views), [
    { target: target.path, source: view.image.file, dead: false },
  ]);
  await mounter.unmount(target);
  assert.deepEqual(node.list().toSorted(), [name, 'of somebody else'].toSorted());
  images.tidy();
  assert.deepEqual(node.list(), ['of somebody else']);
});

test('the mount of an image is made again of a volume, without the flags of that', asRoot, async () => {
  await using node = await openNode();
  const { images, mounter, view, target } = node;
  images.raise(view);
  await mounter.mount(images.shown(view), target, ['noexec']);
  const [device] = mountsBelow(target.path).map(mount => mount.device);
  unmountBelow(node.directory);
  images.raise(view);
  const [made] = mountsBelow(node.directory);
  assert.equal(made?.device, device);
  assert.deepEqual(made?.options, ['ro', 'nosuid', 'nodev', 'relatime']);
});

test(
  'a late image is unmounted after its landings, also where it was unmounted by hand',
  asRoot,
  async () => {
    await using node = await openNode();
    const { images, mounter, view, target } = node;
    for (const byHand of [false, true]) {
      const mounted: number[] = [];
      const landing = {
        path: '',
        [Symbol.dispose]: () => void mounted.push(mountsBelow(node.directory).length),
      };
      {
        await using _kept = await images.keep(view.image, [landing]);
        await mounter.mount(images.shown(view), target, []);
        images.tidy();
        await mounter.unmount(target);
        images.tidy(); // no volume shows it now
        assert.equal(mountsBelow(node.directory).length, 1);
        if (byHand) unmountBelow(node.directory);
        assert.deepEqual(mounted, []);
      }
      assert.deepEqual([mounted, node.list()], [[byHand ? 0 : 1], []]);
    }
  },
);

test('the mount of an image is not made again of what hides the volume', asRoot, async () => {
  await using node = await openNode();
  const { images, mounter, view, target } = node;
  images.raise(view);
  await mounter.mount(images.shown(view), target, []);
  unmountBelow(node.directory);
  mountTmpfs(target.path, 'size=1m');
  images.raise(view);
  assert.equal(readFileSync(join(images.shown(view), 'f'), 'utf8'), 'shown');
});

test('a path of kubelet through a symlink makes no difference', asRoot, async () => {
  await using node = await openNode({ kubelet: 'link' });
  const { images, mounter, view, target } = node;
  images.raise(view);
  await mounter.mount(images.shown(view), target, []);
  images.tidy();
  assert.deepEqual(node.list(), [basename(view.image.file)]);
  assert.deepEqual(
    (await mounter.list(node.views)).map(mount => mount.target),
    [target.path],
  );
  await mounter.unmount(target);
  images.tidy();
  assert.deepEqual(node.list(), []);
});

test('a volume is that of its view although the state directory was moved', asRoot, async () => {
  await using node = await openNode();
  const { images, mounter, view, target } = node;
  images.raise(view);
  await mounter.mount(images.shown(view), target, []);
  const moved = `${node.views}.moved`;
  renameSync(node.views, moved);
  assert.deepEqual(
    (await mounter.list(moved)).map(mount => mount.source),
    [view.image.file.replace(node.views, moved)],
  );
});

test(
  'what somebody else mounted in the place of an image is neither shown nor unmounted',
  asRoot,
  async () => {
    await using node = await openNode();
    const { images, view, target } = node;
    const at = join(node.directory, basename(view.image.file));
    mkdirSync(at, { recursive: true });
    mountTmpfs(at, 'size=1m');
    const foreign = {
      code: 'internal',
      message: /something other than the image of that name is mounted at /,
    };
    assert.throws(() => images.raise(view), foreign);
    assert.throws(() => images.shown(view), foreign);
    assert.match(images.tidy().join(), foreign.message);
    unmountBelow(node.directory);
    images.raise(view);
    await node.mounter.mount(images.shown(view), target, []);
    mountTmpfs(at, 'size=1m'); // above a live one
    assert.throws(() => images.shown(view), foreign);
    unmountBelow(node.directory);
  },
);

for (const what of ['a file', 'a symlink'] as const) {
  test(`${what} in the place of the directory of images is named, and ends nothing`, asRoot, async () => {
    await using node = await openNode();
    const { images, view } = node;
    mkdirSync(dirname(node.directory), { recursive: true });
    if (what === 'a file') writeFileSync(node.directory, '');
    else symlinkSync(mkdtempSync(join(dirname(node.directory), 'away-')), node.directory);
    assert.throws(() => images.raise(view), { code: 'internal', message: /plugins\/driver\.example-views/ });
    assert.deepEqual(mountsBelow(dirname(node.directory)), []);
    assert.equal(images.tidy().length, what === 'a file' ? 1 : 0);
  });
}

test('a copy of the mount of an image in another directory is no volume', asRoot, async () => {
  await using node = await openNode();
  const { images, mounter, view } = node;
  images.raise(view);
  const copy = join(dirname(node.directory), 'copy');
  mkdirSync(copy);
  execFileSync('mount', ['--rbind', node.directory, copy]);
  assert.deepEqual(await mounter.list(node.views), []);
  images.tidy();
  assert.deepEqual(mountsBelow(node.directory), []);
  unmountBelow(copy);
});
