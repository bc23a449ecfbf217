import assert from 'node:assert/strict';
import { test } from 'node:test';
import { costOf, longestTurn } from '../../test/support/node/cost.ts';
import { ArtifactError } from '../util/error.ts';
import { doAtOnce, doInSlices } from '../util/pace.ts';
import type { Descriptor } from './descriptor.ts';
import { parseDigest, toDigest } from './digest.ts';
import { type Manifest, ociManifest } from './manifest.ts';
import { type LayerSelection, type Plan, planLayers } from './plan.ts';

const hex = 'c'.repeat(64);
const digest = parseDigest(`sha256:${hex}`);
const title = 'org.opencontainers.image.title';
const imageConfig = 'application/vnd.oci.image.config.v1+json';
const tarGzip = 'application/vnd.oci.image.layer.v1.tar+gzip';
const all: LayerSelection = { unpack: 'auto', include: [], exclude: [] };

const planOf = (...asked: Parameters<typeof planLayers>): Plan => doAtOnce(planLayers(...asked));

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
    'an image config of which nothing is known',
    manifest(imageConfig, [layer(tarGzip)]),
    undefined,
    'artifact',
  ],
  ['an image config and a text layer', manifest(imageConfig, [layer('text/plain')]), [digest], 'artifact'],
  [
    'an image config, a change set and a text layer',
    manifest(imageConfig, [layer(tarGzip), layer('text/plain')]),
    [digest, digest],
    'artifact',
  ],
  [
    'an image config of no fitting diff_ids, and titles',
    manifest(imageConfig, [layer(tarGzip, { [title]: 'x' })]),
    [digest, digest],
    'artifact',
  ],
  ['a config without a type', manifest('', [layer('text/plain')]), undefined, 'artifact'],
  ['a config without a type that is an image', manifest('', [layer(tarGzip)]), [digest], 'image'],
  ['an image of no layers', manifest(imageConfig, []), [], 'image'],
  [
    'an artifactType, an image config and too few diff_ids',
    manifest(imageConfig, [layer(tarGzip)], 'a/b'),
    [],
    'artifact',
  ],
] as const) {
  test(`${name} makes an ${kind}`, () => {
    assert.equal(planOf(document, diffIds, all, 'r/x').kind, kind);
  });
}

const encrypted = `${tarGzip}+encrypted`;
const nydus = 'application/vnd.oci.image.layer.nydus.blob.v1';
for (const [name, layers, diffIds, why] of [
  [
    'an encrypted layer',
    [tarGzip, encrypted],
    [digest, digest],
    /^layer 2 \(sha256:cccc.* is encrypted.*\+encrypted/,
  ],
  ['a layer of nydus', [nydus], [digest], /^layer 1 .* nydus.* \(its media type is .*nydus\.blob\.v1\)/],
  ['a layer of EROFS', ['application/vnd.erofs.layer.v1'], [digest], /^layer 1 .* EROFS/],
  ['a layer of an unknown kind', ['application/vnd.oci.image.layer.v9.zip'], [digest], /^layer 1 .*v9\.zip/],
  [
    'a diff_id too few',
    [tarGzip, tarGzip],
    [digest],
    /^layer 2 .* no diff_id: .* 1 diff_ids for 2 layers.*tar\+gzip/,
  ],
  ['a diff_id too many', [tarGzip], [digest, digest], /^layer 1 .* 2 diff_ids for 1 layers.*tar\+gzip/],
  ['a diff_id that is none', [tarGzip], ['x'], /^layer 1 .* diff_id "x", which is no digest/],
] as const) {
  test(`an image with ${name} is refused`, () => {
    const document = manifest(
      imageConfig,
      layers.map(type => layer(type)),
    );
    assert.throws(() => planOf(document, diffIds, all, 'r/x'), unmountable(why));
  });
}

const model = (path: string) => ({ 'org.cncf.model.filepath': path });
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
  [
    'a tar of KitOps with its path',
    layer('application/vnd.kitops.modelkit.code.v1.tar+gzip', model('src')),
    'auto',
    'unpacked',
    'src',
  ],
  [
    'a tar of KitOps with a title',
    layer('application/vnd.kitops.modelkit.model.v1.tar', { [title]: 'a.tar' }),
    'auto',
    'unpacked',
    'a.tar',
  ],
  [
    'a tar of Docker Model Runner',
    layer('application/vnd.docker.ai.dir.tar', model('dir-tar-1.tar')),
    'auto',
    'unpacked',
    'dir-tar-1.tar',
  ],
  [
    'a file of Docker Model Runner',
    layer('application/vnd.docker.ai.gguf.v3', model('m.gguf')),
    'auto',
    'file',
    'm.gguf',
  ],
  ['any tar with the path of a model', layer(tarGzip, model('w')), 'auto', 'unpacked', 'w'],
  ['an unnamed tar by another suffix', layer('application/x+tar.gz'), 'auto', 'unpacked', `sha256-${hex}`],
  ['what only sounds like a tar', layer('application/guitar'), 'auto', 'file', `sha256-${hex}`],
  [
    'a titled tar, always to be unpacked',
    layer(tarGzip, { [title]: 'a.tgz' }),
    'always',
    'detected',
    'a.tgz',
  ],
  ['any layer, always to be unpacked', layer('text/plain'), 'always', 'detected', `sha256-${hex}`],
  ['a directory of ORAS, always to be unpacked', layer(tarGzip, oras), 'always', 'unpacked', 'd'],
  ['an unnamed tar+gzip', layer('application/x.tar+gzip'), 'auto', 'unpacked', `sha256-${hex}`],
  ['an unnamed tar+zstd', layer('application/x.tar+zstd'), 'auto', 'unpacked', `sha256-${hex}`],
  ['an unnamed tar.gzip', layer('application/x.tar.gzip'), 'auto', 'unpacked', `sha256-${hex}`],
  ['an unnamed tar, not to be unpacked', layer('application/x.tar+gzip'), 'never', 'file', `sha256-${hex}`],
] as const) {
  test(`${name} becomes ${form} ${path}`, () => {
    const plan = planOf(manifest(empty, [descriptor]), undefined, { ...all, unpack }, 'r/x');
    assert.deepEqual(
      plan.layers.map(({ form, name }) => [form, name]),
      [[form, path]],
    );
  });
}

test('a tar is placed where its tool packed it, and one without a hint beside its name', () => {
  const intoOf = (descriptor: Descriptor, unpack: LayerSelection['unpack'] = 'auto') => {
    const [plan] = planOf(manifest(empty, [descriptor]), undefined, { ...all, unpack }, 'r/x').layers;
    return plan?.form === 'file' ? 'file' : plan?.into;
  };
  assert.deepEqual(intoOf(layer(tarGzip, { ...oras, [title]: 'a/./b/' })), {
    path: ['a', 'b'],
    packed: true,
  });
  assert.equal(intoOf(layer(tarGzip, { 'io.deis.oras.content.unpack': 'true' })), undefined);
  assert.equal(intoOf(layer('application/vnd.cncf.model.weight.v1.tar', model('w/x'))), undefined);
  assert.deepEqual(intoOf(layer('a/b', { [title]: 'w/x.tar' }), 'always'), { path: ['w'], packed: false });
  assert.deepEqual(intoOf(layer('a/b'), 'always'), { path: [], packed: false });
  assert.throws(
    () => intoOf(layer(tarGzip, { ...oras, [title]: '../d' })),
    unmountable(/leads out of its root/),
  );
  assert.throws(
    () => intoOf(layer('a/b', { [title]: '../x.tar' }), 'always'),
    unmountable(/leads out of its root/),
  );
});

test('the empty descriptor has no file, unless it has a name', () => {
  const nothing = {
    ...layer(empty),
    size: 2,
    digest: parseDigest('sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a'),
  };
  const planned = (...layers: readonly Descriptor[]) =>
    planOf(manifest(empty, layers), undefined, all, 'r/x').layers.map(({ name }) => name);
  assert.deepEqual(planned(nothing), []);
  assert.deepEqual(planned(layer('text/plain', { [title]: 'a' }), nothing), ['a']);
  assert.deepEqual(planned({ ...nothing, annotations: { [title]: 'e.json' } }), ['e.json']);
  assert.deepEqual(planned({ ...nothing, mediaType: 'application/json' }).length, 1);
});

test('the digest that ORAS records for a directory is verified', () => {
  const descriptor = layer(tarGzip, { ...oras, 'io.deis.oras.content.digest': digest });
  const [planned] = planOf(manifest(empty, [descriptor]), undefined, all, 'r/x').layers;
  assert.equal(planned?.form === 'unpacked' && planned.diffId, digest);
  const wrong = layer(tarGzip, { ...oras, 'io.deis.oras.content.digest': 'x' });
  assert.throws(() => planOf(manifest(empty, [wrong]), undefined, all, 'r/x'), unmountable(/is no digest/));
});

test('a recorded digest that cannot be verified is not called wrong', () => {
  const sha512 = `sha512:${'a'.repeat(128)}`;
  const descriptor = layer(tarGzip, { ...oras, 'io.deis.oras.content.digest': sha512 });
  const why = unmountable(/^layer 1 .* has the sha512 of .* only their sha256 is checked/);
  assert.throws(() => planOf(manifest(empty, [descriptor]), undefined, all, 'r/x'), why);
  const image = manifest(imageConfig, [layer(tarGzip)]);
  assert.throws(() => planOf(image, [sha512], all, 'r/x'), why);
});

test('one digest has one size, and that of empty content has 0', () => {
  const sized = (size: number, of: string = digest): Descriptor => ({
    ...layer('text/plain', { [title]: `${size}` }),
    size,
    digest: parseDigest(of),
  });
  const countOf = (...layers: readonly Descriptor[]) =>
    planOf(manifest(empty, layers), undefined, all, 'r/x').layers.length;
  const nothing = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  assert.equal(countOf(sized(5), sized(5), sized(0, nothing)), 3);
  assert.throws(
    () => countOf(sized(6), sized(5)),
    unmountable(/^layer 2 \("5"\) .* 5 bytes, and elsewhere 6/),
  );
  assert.throws(
    () => countOf(sized(5), sized(6)),
    unmountable(/^layer 2 \("6"\) .* 6 bytes, and elsewhere 5/),
  );
  assert.throws(() => countOf(sized(0)), unmountable(/^layer 1 .* has 0 bytes, which cannot be/));
  assert.throws(() => countOf(sized(1, nothing)), unmountable(/^layer 1 .* has 1 bytes, which cannot be/));
});

test('the layers of an image are unpacked in order, whatever unpack is', () => {
  const plan = planOf(
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
    const plan = planOf(many, undefined, { unpack: 'auto', include, exclude }, 'r/x');
    assert.deepEqual(
      plan.layers.map(({ name }) => name),
      left,
    );
  });
}

test('include and exclude that leave nothing are refused with the existing names', () => {
  assert.throws(
    () => planOf(many, undefined, { ...all, include: ['*.onnx'] }, 'r/x'),
    unmountable(/leave no layer.*a\.txt/),
  );
});

test('include on a container image is refused', () => {
  const image = manifest(imageConfig, [layer(tarGzip)]);
  assert.throws(
    () => planOf(image, [digest], { ...all, include: ['*'] }, 'r/x'),
    unmountable(/container image/),
  );
});

function unmountable(why: RegExp) {
  return (thrown: unknown): boolean =>
    thrown instanceof ArtifactError && thrown.code === 'unmountable' && why.test(thrown.message);
}

test('no manifest, and no globs, hold the main thread while layers are planned', async () => {
  const digests = Array.from({ length: 38_000 }, (_, nth) => toDigest('sha256', `${nth}`.padStart(64, '0')));
  const layers = digests.map(each => ({ ...layer('text/plain'), digest: each }));
  const stars = `${'*a'.repeat(60)}*b`;
  const titled = (name: string) => layer('text/plain', { [title]: name });
  const kinds = {
    'many layers': [layers, all],
    'globs with many stars': [Array(15_000).fill(titled('a'.repeat(60))), { ...all, include: [stars] }],
    'many globs': [Array(15_000).fill(titled('a')), { ...all, exclude: Array(2_000).fill('b') }],
    'a name of 4 MiB': [[titled('a/'.repeat(2_000_000))], { ...all, include: ['*'] }],
  } satisfies Record<string, [Descriptor[], LayerSelection]>;
  for (const [kind, [some, selection]] of Object.entries(kinds)) {
    const turns: number[] = [];
    do {
      const plan = planLayers(manifest(empty, some), undefined, selection, 'r/x');
      const planning = () => doInSlices(plan, new AbortController().signal).catch(() => {});
      turns.push((await costOf(planning)).turn);
    } while (Math.min(...turns) >= longestTurn && turns.length < 4);
    assert.ok(Math.min(...turns) < longestTurn, `${kind}: ${turns.join()} ms`);
  }
});
