import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { toFinding } from '../../src/grpc/client/value.ts';
import type { Finding } from '../../src/ports/usecases.ts';
import { waitUntil } from '../support/node/child.ts';
import {
  publishRequest,
  startDaemon,
  type TestDaemon,
  type TestNode,
  testNode,
} from '../support/node/daemon.ts';
import { imageShownAt, imagesOf, listImages } from '../support/node/image-directory.ts';
import { outcomeOf } from '../support/node/outcome.ts';
import { shownOf, verifyGone, verifyVolume } from '../support/node/volume.ts';
import { gzip, sha256, tarOf } from '../support/oci/tar.ts';
import { mountsBelow, unmountBelow } from '../support/os/mounts.ts';
import { mountTmpfs } from '../support/os/tmpfs.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());
const mediaType = 'application/vnd.acme.layer.v1.tar+gzip';

type Sample = {
  readonly reference: string;
  readonly digest: string;
  readonly shown: ReturnType<typeof shownOf>;
};
let pushed = 0;

/** Pushes an artifact of a tar, and of files beside it. */
async function push(
  inTar: Readonly<Record<string, string>>,
  beside: Readonly<Record<string, string>> = {},
): Promise<Sample> {
  const mtime = new Date(1_700_000_000_000); // the same content is the same layer
  const bytes = gzip(await tarOf(Object.entries(inTar).map(([name, content]) => [{ name, mtime }, content])));
  const files = Object.entries(beside).map(([name, content]) => ({ name, bytes: Buffer.from(content) }));
  const { reference } = await registry.push(`images-${pushed++}`, 'v1', [{ bytes, mediaType }, ...files]);
  return {
    reference,
    digest: sha256(bytes),
    shown: shownOf(Object.entries({ ...inTar, ...beside })),
  };
}

async function publish(node: TestNode, daemon: TestDaemon, { reference }: Sample, policy = 'IfNotPresent') {
  const request = await publishRequest(node, { reference, pullPolicy: policy });
  await daemon.csi.NodePublishVolume(request);
  return request;
}

async function fsck({ streams }: TestDaemon, repair: boolean): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for await (const { finding } of streams.Fsck({ repair })) if (finding) findings.push(toFinding(finding));
  return findings;
}

const deviceOf = (path: string): number => statSync(path).dev;

test('pods share the mount of an image, which a kill does not end, and the last one ends it', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push({ 'd/model': 'weights', config: '{}' });
  let daemon = await startDaemon(node);
  await using _ = { [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
  const first = await publish(node, daemon, sample);
  const second = await publish(node, daemon, sample);
  const shared = imageShownAt(node, first.target_path);
  assert.ok(shared !== undefined && imageShownAt(node, second.target_path) === shared);
  const { volumes } = await daemon.artifacts.ListVolumes({});
  const [file = ''] = imageFiles(node);
  assert.deepEqual(
    volumes.map(volume => volume.view_digest),
    [1, 2].map(() => sha256(readFileSync(file))),
  );
  const { view_digests } = await daemon.artifacts.Inspect({ reference: sample.reference });
  assert.deepEqual(view_digests, [sha256(readFileSync(file))]);

  await daemon.end('SIGKILL');
  verifyVolume(first.target_path, sample.shown);
  daemon = await startDaemon(node);
  await daemon.csi.NodePublishVolume(first);
  verifyVolume(first.target_path, sample.shown);
  const third = await publish(node, daemon, sample, 'Never');
  assert.equal(deviceOf(third.target_path), deviceOf(first.target_path));
  assert.deepEqual(listImages(node), [shared]);

  for (const request of [first, second]) await daemon.csi.NodeUnpublishVolume(request);
  verifyVolume(third.target_path, sample.shown);
  await daemon.csi.NodeUnpublishVolume(third);
  verifyGone(third.target_path);
  assert.deepEqual(listImages(node), []);
});

test('the mount of an image that was lost is made again of a volume, and after a reboot of its file', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push({ model: 'to be kept' });
  let daemon = await startDaemon(node);
  await using _ = { [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
  const first = await publish(node, daemon, sample);
  unmountBelow(imagesOf(node));
  await daemon.csi.NodePublishVolume(first);
  const second = await publish(node, daemon, sample);
  assert.equal(deviceOf(second.target_path), deviceOf(first.target_path));

  await daemon.end('SIGKILL');
  unmountBelow(node.kubeletDir);
  daemon = await startDaemon(node);
  assert.deepEqual(listImages(node), [], 'no volume shows it');
  for (const request of [first, second]) {
    await daemon.csi.NodePublishVolume(request);
    verifyVolume(request.target_path, sample.shown);
    assert.equal(imageShownAt(node, request.target_path), listImages(node)[0]);
  }
});

test('a pod need not ask for a read-only volume if that is an image, and must otherwise', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const ask = async ({ reference }: Sample) => ({
    ...(await publishRequest(node, { reference })),
    readonly: false,
  });
  const image = await ask(await push({ model: 'of tars alone' }));
  await daemon.csi.NodePublishVolume(image);
  const [mount] = mountsBelow(image.target_path);
  assert.equal(mount?.options[0], 'ro');
  execFileSync('mount', ['-o', 'remount,bind,rw', image.target_path]);
  assert.throws(() => writeFileSync(join(image.target_path, 'model'), 'altered'), { code: 'EROFS' });
  await daemon.csi.NodeUnpublishVolume(image);

  const mixed = await push({ model: 'in a tar' }, { beside: 'a file' });
  const refused = await outcomeOf(daemon.csi.NodePublishVolume(await ask(mixed)));
  assert.equal(refused.code, 'INVALID_ARGUMENT');
  assert.match(refused.text, /set readOnly: true under volumes\[\]\.csi/);
  assert.equal(registry.count('GET', mixed.digest), 0, 'nothing is downloaded');
  // Its layer is stored as bodies now, so that its view is a tree.
  const shared = await push({ model: 'in a tar' });
  assert.equal(shared.digest, mixed.digest);
  await daemon.csi.NodePublishVolume(await publishRequest(node, { reference: mixed.reference }));
  assert.equal((await outcomeOf(daemon.csi.NodePublishVolume(await ask(shared)))).code, 'INVALID_ARGUMENT');
  assert.deepEqual(listImages(node), []);
});

test('an image that no volume shows is unmounted at the start', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push({ model: 'a leftover' });
  let daemon = await startDaemon(node);
  await using _ = { [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
  const { target_path } = await publish(node, daemon, sample);
  await daemon.end('SIGKILL');
  unmountBelow(join(node.kubeletDir, 'pods'));
  assert.equal(listImages(node).length, 1);
  rmSync(join(node.kubeletDir, 'pods'), { recursive: true });
  mkdirSync(join(node.kubeletDir, 'pods'));
  daemon = await startDaemon(node);
  assert.deepEqual(listImages(node), []);
  assert.ok(!existsSync(target_path));
});

function write(path: string, bytes: Buffer, at: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, at);
  closeSync(fd);
}

const flip = (path: string): void => write(path, Buffer.from('X'), statSync(path).size - 700);

const layerOf = (node: TestNode, { digest }: Sample): string =>
  join(node.stateDir, 'layers/tar', digest.replace(':', '/'));

/** The images of all views, mounted or not. */
function imageFiles(node: TestNode): readonly string[] {
  const views = join(node.stateDir, 'views');
  const directories = readdirSync(views).filter(name => name.endsWith('.erofs'));
  return directories.flatMap(name => readdirSync(join(views, name)).map(image => join(views, name, image)));
}

test('a damaged tar is found, put aside, and pulled again; its image stays for the volume that shows it', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const sample = await push({ a: 'a'.repeat(3000), b: 'b'.repeat(3000) });
  const { target_path } = await publish(node, daemon, sample);
  const layer = layerOf(node, sample);
  assert.deepEqual(readdirSync(layer).toSorted(), ['tar', 'toc']);
  const shown = readFileSync(join(target_path, 'a'), 'latin1');
  flip(join(layer, 'tar'));
  const [found, ...others] = await fsck(daemon, false);
  assert.deepEqual([found?.path, others], [layer, []]);
  assert.match(found?.problem ?? '', /its file tar has .* bytes of sha256 .* shows it/);
  await fsck(daemon, true);
  const next = await publish(node, daemon, sample);
  verifyVolume(next.target_path, sample.shown);
  assert.equal(readFileSync(join(target_path, 'a'), 'latin1'), shown);
  assert.equal(registry.count('GET', sample.digest), 2);
  assert.notEqual(deviceOf(next.target_path), deviceOf(target_path));
  for (const request of [next, { ...next, target_path }]) await daemon.csi.NodeUnpublishVolume(request);
  assert.deepEqual(listImages(node).length <= 1, true);
});

test('a damaged image is found, and made again without a registry', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const sample = await push({ a: 'one', b: 'two' });
  const request = await publish(node, daemon, sample);
  const image = imageShownAt(node, request.target_path);
  await daemon.csi.NodeUnpublishVolume(request);
  const [file = ''] = imageFiles(node);
  assert.equal(basename(image ?? ''), basename(file));
  flip(file);
  const [found, ...others] = await fsck(daemon, false);
  assert.deepEqual([found?.path, others], [dirname(file), []]);
  const next = await publish(node, daemon, sample, 'Never');
  verifyVolume(next.target_path, sample.shown);
  assert.notDeepEqual(imageFiles(node), [file]);
  assert.deepEqual(await fsck(daemon, false), []);
});

test('an image that the kernel refuses is made again by the next call', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const sample = await push({ a: 'one' });
  await daemon.csi.NodeUnpublishVolume(await publish(node, daemon, sample));
  const [image = ''] = imageFiles(node);
  write(image, Buffer.alloc(128), 1024);
  const request = await publish(node, daemon, sample, 'Never');
  verifyVolume(request.target_path, sample.shown);
  assert.deepEqual(await fsck(daemon, false), []);
});

test('a volume has its bytes although its tar and its image were removed; the next one pulls them again', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const sample = await push({ a: 'one', 'd/b': 'b'.repeat(10_000) });
  const { target_path } = await publish(node, daemon, sample);
  rmSync(layerOf(node, sample), { recursive: true });
  verifyVolume(target_path, sample.shown);
  await assert.rejects(publish(node, daemon, sample, 'Never'), { code: 5 });
  const again = await publish(node, daemon, sample);
  verifyVolume(again.target_path, sample.shown);
  verifyVolume(target_path, sample.shown);
  for (const image of imageFiles(node)) rmSync(image);
  verifyVolume(target_path, sample.shown);
  const third = await publish(node, daemon, sample, 'Never');
  verifyVolume(third.target_path, sample.shown);
  for (const request of [third, again, { ...third, target_path }])
    await daemon.csi.NodeUnpublishVolume(request);
  assert.deepEqual(listImages(node), []);
});

test('the mount of an image over a tar that was removed stays with its volumes, and new ones show what is pulled', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const sample = await push({ a: 'right'.repeat(1000) });
  const request = await publish(node, daemon, sample);
  await daemon.csi.NodeUnpublishVolume(request);
  await daemon.csi.NodePublishVolume(request); // nothing of its file is in the page cache of the mount
  write(join(layerOf(node, sample), 'tar'), Buffer.from('wrong'), 512);
  const shown = readFileSync(join(request.target_path, 'a'), 'latin1');
  rmSync(layerOf(node, sample), { recursive: true });
  const other = await publish(node, daemon, sample);
  verifyVolume(other.target_path, sample.shown);
  assert.notEqual(deviceOf(other.target_path), deviceOf(request.target_path));
  assert.equal(readFileSync(join(request.target_path, 'a'), 'latin1'), shown);
  const { volumes } = await daemon.artifacts.ListVolumes({});
  const damagedOf = ({ target_path }: typeof request) =>
    volumes.find(volume => volume.target_path === target_path)?.damaged;
  assert.match(damagedOf(request) ?? '', /it lost its layers/);
  assert.equal(damagedOf(other), '');
  await daemon.csi.NodePublishVolume(request); // kubelet may ask again
  await daemon.end('SIGKILL');
  await using next = await startDaemon(node);
  for (const volume of [request, other]) {
    await next.csi.NodePublishVolume(volume);
    await next.csi.NodeUnpublishVolume(volume);
  }
  assert.deepEqual(listImages(node), []);
  assert.deepEqual(await fsck(next, true), []);
});

test('the scrub hashes images, and takes a damaged one out of use', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node, { flags: { '--scrub-interval': '1s' } });
  const sample = await push({ a: 'one' });
  const { target_path } = await publish(node, daemon, sample);
  const [image = ''] = imageFiles(node);
  flip(image);
  const told = /view \S+ of \S+: its image has \d+ bytes of sha256 .* shows it/;
  await waitUntil(daemon, () => told.test(daemon.output()), 'put aside');
  assert.ok(!existsSync(image));
  const next = await publish(node, daemon, sample, 'Never');
  verifyVolume(next.target_path, sample.shown);
  for (const volume of [next, { ...next, target_path }]) await daemon.csi.NodeUnpublishVolume(volume);
});

test('a state directory with trees of hard links is used as it is where images have become possible', async () => {
  await using node = await testNode([registry.host]);
  mountTmpfs(node.stateDir, 'size=64m');
  const sample = await push({ 'd/model': 'a tree', other: 'x' });
  {
    await using daemon = await startDaemon(node);
    const request = await publish(node, daemon, sample);
    assert.equal(imageShownAt(node, request.target_path), undefined);
    await daemon.csi.NodeUnpublishVolume(request);
  }
  const aside = join(node.path, 'aside');
  execFileSync('cp', ['-a', node.stateDir, aside]);
  unmountBelow(node.stateDir);
  rmdirSync(node.stateDir);
  renameSync(aside, node.stateDir);
  await using daemon = await startDaemon(node);
  const request = await publish(node, daemon, sample, 'Never');
  verifyVolume(request.target_path, sample.shown);
  assert.equal(imageShownAt(node, request.target_path), undefined);
  assert.equal((await daemon.artifacts.ListVolumes({})).volumes[0]?.view_digest, '');
  assert.deepEqual(await fsck(daemon, true), []);
  const other = await push({ model: 'an image' });
  assert.ok(imageShownAt(node, (await publish(node, daemon, other)).target_path));
});

test('a layer that another artifact has beside files is unpacked for that, and its image stays', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const inTar = { 'd/shared': 'in both' };
  const alone = await push(inTar);
  const mixed = await push(inTar, { 'file.txt': 'a file' });
  const before = await publish(node, daemon, alone);
  assert.ok(imageShownAt(node, before.target_path));
  const beside = await publish(node, daemon, mixed);
  assert.equal(imageShownAt(node, beside.target_path), undefined);
  verifyVolume(beside.target_path, mixed.shown);
  verifyVolume(before.target_path, alone.shown);
  assert.equal(registry.count('GET', alone.digest), 1, 'the tar was unpacked where it was');
  await daemon.csi.NodePublishVolume(before);
  const again = await publish(node, daemon, alone, 'Never');
  assert.equal(imageShownAt(node, again.target_path), imageShownAt(node, before.target_path));
  verifyVolume(again.target_path, alone.shown);
  assert.deepEqual(await fsck(daemon, true), []);
});

test('where the kernel mounts no images, what was stored for them is unpacked, without a registry', async () => {
  await using node = await testNode([registry.host]);
  const sample = await push({ 'd/model': 'carried over', other: 'x' });
  {
    await using daemon = await startDaemon(node);
    await daemon.csi.NodeUnpublishVolume(await publish(node, daemon, sample));
  }
  const aside = join(node.path, 'aside');
  cpSync(node.stateDir, aside, { recursive: true, preserveTimestamps: true });
  mountTmpfs(node.stateDir, 'size=64m');
  cpSync(aside, node.stateDir, { recursive: true, preserveTimestamps: true });
  await using daemon = await startDaemon(node);
  const request = await publish(node, daemon, sample, 'Never');
  verifyVolume(request.target_path, sample.shown);
  assert.equal(imageShownAt(node, request.target_path), undefined);
  assert.match(
    await (await fetch(`${daemon.http}/readyz`)).text(),
    /EROFS views: off \(this kernel, or the filesystem/,
  );
});

test('prune removes tars and images that nothing needs', async () => {
  await using node = await testNode([registry.host]);
  await using daemon = await startDaemon(node);
  const sample = await push({ model: 'm'.repeat(100_000) });
  const request = await publish(node, daemon, sample);
  await daemon.artifacts.Prune({ dry_run: false });
  verifyVolume(request.target_path, sample.shown);
  await daemon.csi.NodeUnpublishVolume(request);
  await daemon.artifacts.Prune({ dry_run: false });
  assert.deepEqual(readdirSync(join(node.stateDir, 'layers/tar/sha256')), []);
  assert.deepEqual(readdirSync(join(node.stateDir, 'views')), []);
});

for (const lost of ['image', 'layers'] as const) {
  test(`a daemon starts although a mounted volume has lost its ${lost} on the disk, and brings it again`, async () => {
    await using node = await testNode([registry.host]);
    const sample = await push({ a: 'bytes '.repeat(1000) });
    let daemon = await startDaemon(node);
    await using _ = { [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]() };
    const first = await publish(node, daemon, sample);
    await daemon.end('SIGTERM');
    for (const path of lost === 'image' ? imageFiles(node) : [layerOf(node, sample)])
      rmSync(path, { recursive: true });
    daemon = await startDaemon(node);
    verifyVolume(first.target_path, sample.shown);
    for (let times = 0; times < 2; times++)
      verifyVolume((await publish(node, daemon, sample)).target_path, sample.shown);
    await daemon.csi.NodeUnpublishVolume(first);
    verifyGone(first.target_path);
  });
}
