import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import process from 'node:process';
import { after, test } from 'node:test';
import type { DemoLayer } from '../../src/cli/demo/artifact.ts';
import { ociIndex } from '../../src/oci/manifest.ts';
import { listed as withChunkList } from '../support/late/chunk-list.ts';
import { isLoaded, loadingOf, publishLate, until } from '../support/late/loading.ts';
import { publishRequest, startDaemon, type TestDaemon, testNode } from '../support/node/daemon.ts';
import { type Listed, listTree } from '../support/oci/listing.ts';
import { paxEntry, rawTar } from '../support/oci/raw-tar.ts';
import { gzip, sha256 } from '../support/oci/tar.ts';
import { openFaultyRegistry } from '../support/registry/faulty-registry.ts';

/** The same artifacts with `loading: full` and `loading: onDemand`: a pod must not be able to tell them apart. */

const registry = await openFaultyRegistry();
after(() => registry[Symbol.asyncDispose]());
const MiB = 1024 * 1024;
const tarType = 'application/vnd.acme.layer.v1.tar+gzip';

const tree = gzip(
  rawTar(
    paxEntry({ 'SCHILY.xattr.user.kind': 'directory', mtime: '1000000000.123456789' }),
    { name: 'd/', type: '5', mode: '0000750', uid: '0000007' },
    paxEntry({ 'SCHILY.xattr.user.kind': 'file', gid: '8', mtime: '1600000000.000000001' }),
    { name: 'd/run.sh', mode: '0004755', uid: '0000007', body: 'echo' },
    { name: 'd/empty', body: '', mode: '0000400' },
    { name: 'd/page', body: randomBytes(4096) },
    { name: 'd/more than a page', body: randomBytes(4097) },
    { name: 'd/large', body: randomBytes(MiB + 4321) },
    { name: 'd/link', type: '2', linkname: '../model.bin' },
    { name: 'd/hard', type: '1', linkname: 'd/run.sh' },
    { name: 'implied/by a path/f', body: 'f', mtime: '00000000000' },
    { name: 'replaced', body: 'in the tar' },
  ),
);
const file = (name: string, bytes: Buffer): DemoLayer => ({ name, bytes });
const twice = randomBytes(2 * MiB + 5);
const layers: readonly DemoLayer[] = [
  { bytes: tree, mediaType: tarType },
  file('config.json', Buffer.from('{}')),
  file('empty', Buffer.alloc(0)),
  file('largest of the small', randomBytes(MiB)),
  file('smallest of the large', randomBytes(MiB + 1)),
  file('model.bin', randomBytes(2 * MiB)),
  file('of one digest/a', twice),
  file('of one digest/b', twice),
  file('replaced', randomBytes(MiB + 77)),
  file('hidden', randomBytes(MiB + 99)),
  file('hidden', Buffer.from('by a later layer')),
  ...withChunkList('listed/one chunk', randomBytes(2 * MiB), undefined, 2 * MiB),
  ...withChunkList('listed/one chunk and a byte', randomBytes(2 * MiB + 1), undefined, 2 * MiB),
  ...withChunkList('listed/many', randomBytes(5 * MiB + 4095)),
];
const digestsOf = (pushed: readonly DemoLayer[]): ReadonlySet<string> =>
  new Set(pushed.map(({ bytes }) => sha256(bytes)));

/** Holds back all blobs that come after the mount, until the returned function is called. */
function holdBack(late: ReadonlySet<string>): () => void {
  const { promise: until, resolve } = Promise.withResolvers<void>();
  registry.fault(({ path, headers }) =>
    late.has(path.slice(path.lastIndexOf('/') + 1)) && headers.range !== 'bytes=0-0'
      ? { kind: 'hold', after: 0, until }
      : undefined,
  );
  return resolve;
}

/** The manifest of a layer that is a file has no time: an image shows 1970, and a tree when it was stored. */
function withoutTimesOfBlobs(
  tree: Readonly<Record<string, Listed>>,
  blobs: ReadonlySet<string>,
): Readonly<Record<string, Listed>> {
  const entries = Object.entries(tree).map(([name, entry]) => {
    const isBlob = entry.type === 'file' && blobs.has(`sha256:${entry.content}`);
    return [name, isBlob ? { ...entry, mtime: 0n } : entry] as const;
  });
  return Object.fromEntries(entries);
}

type Attributes = Readonly<Record<string, string>>;

/** Publishes and lists what comes on demand once all of it is here, and then what a later volume shows. */
async function listOnDemand(
  daemon: TestDaemon,
  { reference = '', ...others }: Attributes,
  late: ReadonlySet<string>,
) {
  const letCome = holdBack(late);
  const request = await publishLate(daemon, reference, others);
  const { target_path: target } = request;
  assert.ok(await loadingOf(daemon, target), 'it is loaded on demand');
  letCome();
  await until('all of it is here', () => isLoaded(daemon, target));
  const shown = listTree(target);
  let later = await publishLate(daemon, reference, others);
  await until('a later volume shows the ordinary view', async () => {
    if ((await loadingOf(daemon, later.target_path)) === undefined) return true;
    await daemon.csi.NodeUnpublishVolume(later);
    later = await publishLate(daemon, reference, others);
    return false;
  });
  const ordinary = listTree(later.target_path);
  for (const one of [request, later]) await daemon.csi.NodeUnpublishVolume(one);
  return { shown, ordinary };
}

async function listFull(daemon: TestDaemon, attributes: Attributes) {
  const request = await publishRequest(daemon.node, { ...attributes, loading: 'full' });
  await daemon.csi.NodePublishVolume(request);
  const shown = listTree(request.target_path);
  await daemon.csi.NodeUnpublishVolume(request);
  return shown;
}

/** Comes after the mount. */
const isLarge = ({ bytes, name }: DemoLayer): boolean => bytes.length > MiB && name !== undefined;

/** `some`: paths that are shown. */
async function compare(attributes: Attributes, pushed: readonly DemoLayer[], some: readonly string[]) {
  await using nodes = new AsyncDisposableStack();
  const [one, other] = [
    nodes.use(await testNode([registry.host])),
    nodes.use(await testNode([registry.host])),
  ];
  registry.fault(() => undefined);
  const full = await listFull(nodes.use(await startDaemon(one)), attributes);
  const { shown, ordinary } = await listOnDemand(
    nodes.use(await startDaemon(other)),
    attributes,
    digestsOf(pushed.filter(isLarge)),
  );
  const blobs = digestsOf(pushed);
  for (const path of some) assert.ok(path in full, `${path} is shown`);
  assert.deepEqual(withoutTimesOfBlobs(shown, blobs), withoutTimesOfBlobs(full, blobs));
  assert.deepEqual(withoutTimesOfBlobs(ordinary, blobs), withoutTimesOfBlobs(full, blobs));
}

const { reference } = await registry.push('listing', 'v1', layers);

const variants: readonly (readonly [string, Attributes, readonly string[]])[] = [
  ['all of an artifact', {}, ['d/run.sh', 'empty', 'of one digest/b', 'listed/many', 'hidden']],
  ['what is included', { include: 'of one digest/*,listed/**' }, ['of one digest/a', 'listed/one chunk']],
  ['what is not excluded', { exclude: 'listed/**,config.json' }, ['of one digest/a', 'd/large']],
  ['a directory of files', { subPath: 'listed' }, ['many', 'one chunk and a byte']],
  ['a directory with one of two names', { subPath: 'of one digest' }, ['a', 'b']],
  ['one file', { subPath: 'model.bin' }, ['model.bin']],
  ['tars that are files', { unpack: 'never' }, [`sha256-${sha256(tree).slice(7)}`, 'model.bin']],
];

for (const [what, attributes, some] of variants)
  test(`a volume of ${what} shows the same on demand as when it is loaded fully`, async () => {
    await compare({ reference, ...attributes }, layers, some);
  });

test('a volume of a platform of an index shows the same on demand as when it is loaded fully', async () => {
  const platforms = [process.arch === 'x64' ? 'amd64' : 'arm64', 's390x'];
  const own = platforms.map(architecture => [
    file('platform', Buffer.from(architecture)),
    file('model.bin', randomBytes(2 * MiB + 3)),
  ]);
  const manifests = [];
  for (const [at, architecture] of platforms.entries()) {
    const { manifest } = await registry.push('index', architecture, own[at] ?? []);
    const { mediaType, digest, size } = manifest;
    manifests.push({ mediaType, digest, size, platform: { os: 'linux', architecture } });
  }
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }));
  await registry.registry.putManifest('index', 'v1', ociIndex, index);
  const of = { reference: `${registry.host}/index:v1` };
  for (const [at, platform] of [undefined, 'linux/s390x'].entries())
    await compare({ ...of, ...(platform && { platform }) }, own[at] ?? [], ['platform', 'model.bin']);
});
