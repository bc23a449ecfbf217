import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArtifactError } from '../util/error.ts';
import type { Descriptor } from './descriptor.ts';
import { parseDigest } from './digest.ts';
import type { Manifest } from './manifest.ts';
import { ociManifest } from './media-type.ts';
import { planLayers, type LayerSelection } from './plan.ts';

const hex = 'c'.repeat(64);
const digest = parseDigest(`sha256:${hex}`);
const title = 'org.opencontainers.image.title';
const imageConfig = 'application/vnd.oci.image.config.v1+json';
const tarGzip = 'application/vnd.oci.image.layer.v1.tar+gzip';
const all: LayerSelection = { unpack: 'auto', include: [], exclude: [] };

const layer = (mediaType: string, annotations: Record<string, string> = {}): Descriptor => ({
  mediaType,
  digest,
  size: 1,
  annotations,
});

const manifest = (config: string, layers: readonly Descriptor[], artifactType?: string): Manifest => ({
  kind: 'manifest',
  mediaType: ociManifest,
  config: layer(config),
  layers,
  annotations: {},
  ...(artifactType === undefined ? {} : { artifactType }),
});

const empty = 'application/vnd.oci.empty.v1+json';

for (const [name, document, diffIds, kind] of [
  ['an empty config', manifest(empty, []), undefined, 'artifact'],
  ['a custom config', manifest('application/vnd.acme.config+json', []), undefined, 'artifact'],
  ['an image config and matching diff_ids', manifest(imageConfig, [layer(tarGzip)]), [digest], 'image'],
  [
    'a Docker image',
    manifest('application/vnd.docker.container.image.v1+json', [
      layer('application/vnd.docker.image.rootfs.diff.tar.gzip'),
    ]),
    [digest],
    'image',
  ],
  [
    'an image with an artifactType',
    manifest(imageConfig, [layer(tarGzip, { [title]: 'x' })], 'a/b'),
    [digest],
    'image',
  ],
  [
    'an artifactType, an image config and a text layer',
    manifest(imageConfig, [layer('text/plain')], 'a/b'),
    [digest],
    'artifact',
  ],
  [
    'an artifactType, an image config and no diff_ids',
    manifest(imageConfig, [layer(tarGzip)], 'a/b'),
    undefined,
    'artifact',
  ],
  [
    'an artifactType, an image config and too few diff_ids',
    manifest(imageConfig, [layer(tarGzip)], 'a/b'),
    [],
    'artifact',
  ],
] as const) {
  test(`${name} makes an ${kind}`, () => {
    assert.equal(planLayers(document, diffIds, all, 'r/x').kind, kind);
  });
}

for (const [name, document] of [
  ['an image config with text layers and no artifactType', manifest(imageConfig, [layer('text/plain')])],
  ['no config type and no artifactType', manifest('', [layer('text/plain')])],
] as const) {
  test(`${name} is refused`, () => {
    assert.throws(
      () => planLayers(document, [digest], all, 'r/x'),
      unmountable(/neither a container image nor an artifact/),
    );
  });
}

const oras = { [title]: 'd', 'io.deis.oras.content.unpack': 'true' };
for (const [name, descriptor, unpack, form, path] of [
  ['a titled file', layer('text/plain', { [title]: 'a/b.txt' }), 'auto', 'file', 'a/b.txt'],
  [
    'the title before the model path',
    layer('text/plain', { [title]: 't', 'org.cncf.model.filepath': 'm' }),
    'auto',
    'file',
    't',
  ],
  [
    'the CNCF path before the CNAI one',
    layer('text/plain', { 'org.cnai.model.filepath': 'n', 'org.cncf.model.filepath': 'm' }),
    'auto',
    'file',
    'm',
  ],
  ['the CNAI path', layer('text/plain', { 'org.cnai.model.filepath': 'n' }), 'auto', 'file', 'n'],
  ['no name', layer('text/plain'), 'auto', 'file', `sha256-${hex}`],
  ['an empty name', layer('text/plain', { [title]: '' }), 'auto', 'file', `sha256-${hex}`],
  [
    'a titled file that ORAS calls a tar',
    layer('application/vnd.oci.image.layer.v1.tar', { [title]: 'a.bin' }),
    'auto',
    'file',
    'a.bin',
  ],
  ['a directory of ORAS', layer(tarGzip, oras), 'auto', 'unpacked', 'd'],
  ['a directory of ORAS, not to be unpacked', layer(tarGzip, oras), 'never', 'file', 'd'],
  [
    'a titled tar without the mark',
    layer(tarGzip, { [title]: 'a.tgz', 'io.deis.oras.content.unpack': 'false' }),
    'auto',
    'file',
    'a.tgz',
  ],
  [
    'a model layer in tar',
    layer('application/vnd.cncf.model.weight.v1.tar', { 'org.cncf.model.filepath': 'w' }),
    'auto',
    'unpacked',
    'w',
  ],
  [
    'a CNAI model layer in tar+zstd',
    layer('application/vnd.cnai.model.weight.v1.tar+zstd'),
    'auto',
    'unpacked',
    `sha256-${hex}`,
  ],
  [
    'a raw model layer',
    layer('application/vnd.cncf.model.weight.v1.raw', { 'org.cncf.model.filepath': 'w' }),
    'auto',
    'file',
    'w',
  ],
  [
    'an unnamed tar',
    layer('application/vnd.kitops.modelkit.model.v1.tar'),
    'auto',
    'unpacked',
    `sha256-${hex}`,
  ],
  ['an unnamed tar+gzip', layer('application/x.tar+gzip'), 'auto', 'unpacked', `sha256-${hex}`],
  ['an unnamed tar+zstd', layer('application/x.tar+zstd'), 'auto', 'unpacked', `sha256-${hex}`],
  ['an unnamed tar.gzip', layer('application/x.tar.gzip'), 'auto', 'unpacked', `sha256-${hex}`],
  ['an unnamed tar, not to be unpacked', layer('application/x.tar+gzip'), 'never', 'file', `sha256-${hex}`],
] as const) {
  test(`${name} becomes ${form} ${path}`, () => {
    const plan = planLayers(manifest(empty, [descriptor]), undefined, { ...all, unpack }, 'r/x');
    assert.deepEqual(
      plan.layers.map(({ form, name }) => [form, name]),
      [[form, path]],
    );
  });
}

test('the digest that ORAS promises for a directory is asked for', () => {
  const descriptor = layer(tarGzip, { ...oras, 'io.deis.oras.content.digest': digest });
  const [planned] = planLayers(manifest(empty, [descriptor]), undefined, all, 'r/x').layers;
  assert.equal(planned?.form === 'unpacked' && planned.diffId, digest);
  const wrong = layer(tarGzip, { ...oras, 'io.deis.oras.content.digest': 'x' });
  assert.throws(
    () => planLayers(manifest(empty, [wrong]), undefined, all, 'r/x'),
    unmountable(/is no digest/),
  );
});

test('a promise that cannot be checked is not called wrong', () => {
  const sha512 = `sha512:${'a'.repeat(128)}`;
  const descriptor = layer(tarGzip, { ...oras, 'io.deis.oras.content.digest': sha512 });
  const why = unmountable(/^layer 1 .* has the sha512 of .* only their sha256 is checked/);
  assert.throws(() => planLayers(manifest(empty, [descriptor]), undefined, all, 'r/x'), why);
  const image = manifest(imageConfig, [layer(tarGzip)]);
  assert.throws(() => planLayers(image, [sha512], all, 'r/x'), why);
});

test('one digest has one size, and that of nothing has none', () => {
  const sized = (size: number, of: string = digest): Descriptor => ({
    ...layer('text/plain', { [title]: `${size}` }),
    size,
    digest: parseDigest(of),
  });
  const planOf = (...layers: readonly Descriptor[]) =>
    planLayers(manifest(empty, layers), undefined, all, 'r/x').layers.length;
  const nothing = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  assert.equal(planOf(sized(5), sized(5), sized(0, nothing)), 3);
  assert.throws(
    () => planOf(sized(6), sized(5)),
    unmountable(/^layer 2 \("5"\) .* 5 bytes, and elsewhere 6/),
  );
  assert.throws(
    () => planOf(sized(5), sized(6)),
    unmountable(/^layer 2 \("6"\) .* 6 bytes, and elsewhere 5/),
  );
  assert.throws(() => planOf(sized(0)), unmountable(/^layer 1 .* has 0 bytes, which cannot be/));
  assert.throws(() => planOf(sized(1, nothing)), unmountable(/^layer 1 .* has 1 bytes, which cannot be/));
});

test('the layers of an image are unpacked in order whatever unpack says', () => {
  const plan = planLayers(
    manifest(imageConfig, [layer(tarGzip), layer(tarGzip)]),
    [digest, digest],
    { ...all, unpack: 'never' },
    'r/x',
  );
  assert.deepEqual(
    plan.layers.map(({ form }) => form),
    ['unpacked', 'unpacked'],
  );
});

const names = ['a.txt', 'w/1.bin', 'w/2.bin', 'w/deep/3.bin'];
const many = manifest(
  empty,
  names.map(name => layer('text/plain', { [title]: name })),
);
for (const [include, exclude, left] of [
  [[], [], names],
  [['*.bin'], [], ['w/1.bin', 'w/2.bin', 'w/deep/3.bin']],
  [['w/*'], [], ['w/1.bin', 'w/2.bin']],
  [['w/**'], ['2.bin'], ['w/1.bin', 'w/deep/3.bin']],
  [[], ['w/**'], ['a.txt']],
  [['a.txt', '3.bin'], [], ['a.txt', 'w/deep/3.bin']],
] as const) {
  test(`include ${include.join(',') || 'nothing'} and exclude ${exclude.join(',') || 'nothing'} leave ${left.join(' ')}`, () => {
    const plan = planLayers(many, undefined, { unpack: 'auto', include, exclude }, 'r/x');
    assert.deepEqual(
      plan.layers.map(({ name }) => name),
      left,
    );
  });
}

test('include and exclude that leave nothing are refused with the names there are', () => {
  assert.throws(
    () => planLayers(many, undefined, { ...all, include: ['*.onnx'] }, 'r/x'),
    unmountable(/leave no layer.*a\.txt/),
  );
});

test('include on a container image is refused', () => {
  const image = manifest(imageConfig, [layer(tarGzip)]);
  assert.throws(
    () => planLayers(image, [digest], { ...all, include: ['*'] }, 'r/x'),
    unmountable(/container image/),
  );
});

function unmountable(why: RegExp) {
  return (thrown: unknown): boolean =>
    thrown instanceof ArtifactError && thrown.code === 'unmountable' && why.test(thrown.message);
}
