import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { ociIndex, ociManifest } from '../../src/oci/manifest.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';
import { type RawEntry, rawTar } from '../support/oci/raw-tar.ts';
import { gzip, sha256 } from '../support/oci/tar.ts';
import { readTree } from '../support/oci/tree.ts';

const title = 'org.opencontainers.image.title';
const modelPath = 'org.cncf.model.filepath';
const imageConfig = 'application/vnd.oci.image.config.v1+json';
const tarGzip = 'application/vnd.oci.image.layer.v1.tar+gzip';
const emptyType = 'application/vnd.oci.empty.v1+json';

const { registry, node, daemon } = await openSetting();

type Layer = readonly [
  bytes: string | Buffer,
  mediaType: string,
  annotations?: Readonly<Record<string, string>>,
];

const describeBytes = (bytes: string | Buffer, mediaType: string, more: object = {}) => ({
  mediaType,
  digest: sha256(Buffer.from(bytes)),
  size: Buffer.byteLength(bytes),
  ...more,
});

let pushed = 0;

/** Pushes a manifest with what it lists, and returns its reference. */
async function push(config: readonly [text: string, mediaType: string], layers: readonly Layer[]) {
  const repository = `format-${++pushed}`;
  for (const bytes of [config[0], ...layers.map(([content]) => content)])
    await registry.registry.putBlob(repository, Buffer.from(bytes));
  const document = {
    schemaVersion: 2,
    mediaType: ociManifest,
    config: describeBytes(...config),
    layers: layers.map(([bytes, mediaType, annotations]) => describeBytes(bytes, mediaType, { annotations })),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  await registry.registry.putManifest(repository, 'v1', ociManifest, bytes);
  return `${registry.host}/${repository}:v1`;
}

async function publish(reference: string, attributes: Record<string, string> = {}): Promise<string> {
  const request = await publishRequest(node, { reference, ...attributes });
  await daemon.csi.NodePublishVolume(request);
  return request.target_path;
}

/** The paths of what is not a directory, with the text of each. */
function textsOf(target: string): Record<string, string> {
  const files = Object.entries(readTree(target)).filter(([, what]) => what !== 'directory');
  return Object.fromEntries(files.map(([path]) => [path, readFileSync(join(target, path), 'utf8')]));
}

const directory = (name: string): RawEntry => ({ name, type: '5' });
const none = ['{}', emptyType] as const;

const kit = (part: string, compression = ''): string =>
  `application/vnd.kitops.modelkit.${part}.v1.tar${compression}`;
const weights = rawTar({ name: 'model.onnx', body: 'WEIGHTS' });
const code = rawTar(directory('src/'), { name: 'src/app.py', body: 'print()' });
const oras = (name: string): Readonly<Record<string, string>> => ({
  [title]: name,
  'io.deis.oras.content.unpack': 'true',
});
const configOf = (...contents: readonly (string | Buffer)[]): string =>
  JSON.stringify({ rootfs: { type: 'layers', diff_ids: contents.map(each => sha256(Buffer.from(each))) } });
const policy = rawTar({ name: 'policy.rego', body: 'package a' });
const hex = (text: string | Buffer): string => `sha256-${sha256(Buffer.from(text)).slice(7)}`;

const shown: readonly (readonly [
  name: string,
  config: readonly [text: string, mediaType: string],
  layers: readonly Layer[],
  texts: Record<string, string>,
])[] = [
  [
    'a ModelKit, as `kit unpack` has it',
    none,
    [
      [weights, kit('model'), { [modelPath]: 'model.onnx' }],
      [gzip(code), kit('code', '+gzip'), { [modelPath]: 'src' }],
      [rawTar({ name: 'README.md', body: 'read' }), kit('docs'), { [modelPath]: '.' }],
    ],
    { 'model.onnx': 'WEIGHTS', 'src/app.py': 'print()', 'README.md': 'read' },
  ],
  [
    'two parts of one directory of a ModelKit',
    none,
    [
      [rawTar(directory('m/'), { name: 'm/w.bin', body: 'W' }), kit('model'), { [modelPath]: 'm' }],
      [
        rawTar(directory('m/'), { name: 'm/tokenizer.json', body: '{}' }),
        kit('modelpart'),
        { [modelPath]: 'm/tokenizer.json' },
      ],
    ],
    { 'm/w.bin': 'W', 'm/tokenizer.json': '{}' },
  ],
  [
    'a model of Docker, as its runner has it',
    ['{}', 'application/vnd.docker.ai.model.config.v0.1+json'],
    [
      ['ST', 'application/vnd.docker.ai.safetensors', { [modelPath]: 'model.safetensors' }],
      [
        rawTar({ name: 'config.json', body: '{"a":1}' }),
        'application/vnd.docker.ai.vllm.config.tar',
        { [modelPath]: 'vllm-config-123.tar' },
      ],
      [
        rawTar(directory('text_encoder'), { name: 'text_encoder/config.json', body: '{}' }),
        'application/vnd.docker.ai.dir.tar',
        { [modelPath]: 'dir-tar-456.tar' },
      ],
    ],
    { 'model.safetensors': 'ST', 'config.json': '{"a":1}', 'text_encoder/config.json': '{}' },
  ],
  [
    'packed directories whose tars have their content alone',
    none,
    [
      [gzip(rawTar({ name: 'config.json', body: 'ENCODER' })), tarGzip, oras('text_encoder')],
      [gzip(rawTar({ name: './config.json', body: 'UNET' })), tarGzip, oras('parts/unet')],
      [gzip(rawTar(directory('vae'), { name: 'vae/config.json', body: 'VAE' })), tarGzip, oras('vae')],
    ],
    { 'text_encoder/config.json': 'ENCODER', 'parts/unet/config.json': 'UNET', 'vae/config.json': 'VAE' },
  ],
  [
    'files under the config of an image that is none',
    ['{}', imageConfig],
    [
      ['cake', 'application/vnd.oci.image.layer.v1.tar', { [title]: 'cake.txt' }],
      [gzip(policy), tarGzip],
    ],
    { 'cake.txt': 'cake', 'policy.rego': 'package a' },
  ],
  [
    'a blob of cosign',
    [configOf('hello'), imageConfig],
    [['hello', 'text/plain']],
    { [hex('hello')]: 'hello' },
  ],
  [
    'a model of Ollama',
    [configOf('GGUF'), 'application/vnd.docker.container.image.v1+json'],
    [['GGUF', 'application/vnd.ollama.image.model']],
    { [hex('GGUF')]: 'GGUF' },
  ],
  ['the empty descriptor alone', none, [['{}', emptyType]], {}],
];

for (const [name, config, layers, texts] of shown) {
  test(`${name} is shown`, async () => {
    assert.deepEqual(textsOf(await publish(await push(config, layers))), texts);
  });
}

const refused: readonly (readonly [string, string, readonly Layer[], RegExp])[] = [
  [
    'an encrypted layer',
    configOf(policy),
    [['secret', `${tarGzip}+encrypted`]],
    /layer 1 \(sha256:\w+\) of .* is encrypted.*tar\+gzip\+encrypted/,
  ],
  [
    'a layer of nydus',
    configOf(policy),
    [['blob', 'application/vnd.oci.image.layer.nydus.blob.v1']],
    /layer 1 .* nydus.*nydus\.blob\.v1/,
  ],
  [
    'the config of another image',
    configOf('a', 'b'),
    [[gzip(policy), tarGzip]],
    /layer 1 .* 2 diff_ids for 1 layers.*tar\+gzip/,
  ],
  [
    'a diff_id of other bytes',
    configOf('other'),
    [[gzip(policy), tarGzip]],
    /uncompressed bytes of layer 1 .*tar\+gzip.* promises/,
  ],
];

for (const [name, config, layers, why] of refused) {
  test(`an image with ${name} is refused, with the layer, its media type and the reason`, async () => {
    const reference = await push([config, imageConfig], layers);
    await assert.rejects(publish(reference), (thrown: Error) => {
      assert.match(thrown.message, /FAILED_PRECONDITION/);
      assert.match(thrown.message, why);
      return true;
    });
  });
}

test('the error for a layer that is not a tar has its media type and the reason', async () => {
  const reference = await push(none, [
    [gzip(policy), tarGzip],
    ['no tar at all', 'application/vnd.cncf.model.weight.v1.tar', { [modelPath]: 'w' }],
  ]);
  await assert.rejects(publish(reference), (thrown: Error) => {
    assert.match(thrown.message, /FAILED_PRECONDITION/);
    assert.match(
      thrown.message,
      /layer 2 \("w"\) of \S+, a "application\/vnd\.cncf\.model\.weight\.v1\.tar", cannot be unpacked: .* claims to be a tar and is none: .*unpack: never/,
    );
    return true;
  });
});

test('of two layers with one title the later is shown, and the log, pull and inspect report it', async () => {
  const reference = await push(none, [
    ['first', 'text/plain', { [title]: 'a/x' }],
    ['same', 'text/plain', { [title]: 'y' }],
    ['second', 'text/plain', { [title]: 'a/./x' }],
    ['same', 'text/plain', { [title]: 'y' }],
  ]);
  const note = `layers hide files of earlier layers: "a/x" of layer 1 ("a/x") of ${reference} by that of layer 3 ("a/./x") of ${reference}`;
  for (const state of ['cold', 'cached']) {
    const messages = await Array.fromAsync(daemon.streams.Pull({ reference }));
    assert.deepEqual(messages.at(-1)?.result?.notes, [note], state);
  }
  assert.deepEqual((await daemon.artifacts.Inspect({ reference })).notes, [note]);
  const lines = daemon.output().split('\n');
  assert.equal(lines.filter(line => line.includes(JSON.stringify(note).slice(1, -1))).length, 1);
  assert.deepEqual(textsOf(await publish(reference)), { 'a/x': 'second', y: 'same' });
});

test('embedded content of descriptors is used, unless it does not match its digest', async () => {
  const repository = 'carried';
  const dataOf = (content: string | Buffer) => ({ data: Buffer.from(content).toString('base64') });
  const tar = gzip(policy);
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociManifest,
    config: describeBytes('{"a":1}', imageConfig, dataOf('{"a":1}')),
    layers: [
      describeBytes('carried', 'text/plain', { ...dataOf('carried'), annotations: { [title]: 'carried' } }),
      describeBytes(tar, tarGzip, dataOf(tar)),
      describeBytes('asked for', 'text/plain', { ...dataOf('asked FOR'), annotations: { [title]: 'asked' } }),
    ],
  });
  const entry = describeBytes(manifest, ociManifest, dataOf(manifest));
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [entry] }));
  await registry.registry.putManifest(repository, 'v1', ociIndex, index);
  await registry.registry.putBlob(repository, Buffer.from('asked for'));
  const reference = `${registry.host}/${repository}:v1`;
  const texts = { carried: 'carried', 'policy.rego': 'package a', asked: 'asked for' };
  assert.deepEqual(textsOf(await publish(reference)), texts);
  // Another pod, and other options: from the cache, and with what is remembered of the repository.
  assert.deepEqual(textsOf(await publish(reference, { exclude: 'asked' })), {
    carried: 'carried',
    'policy.rego': 'package a',
  });
  const asked = registry.asked.filter(({ path }) => path.includes(`/${repository}/`));
  assert.deepEqual(
    asked
      .filter(({ path }) => path.includes('/blobs/') || path.endsWith(entry.digest))
      .map(({ method }) => method),
    ['GET'],
  );
});

test('unpack: always unpacks every tar into the directory of its name, and nothing else', async () => {
  const data = rawTar(directory('set/'), { name: 'set/1.csv', body: '1' });
  const reference = await push(none, [
    [data, 'application/octet-stream', { [title]: 'plain.bin' }],
    [gzip(rawTar({ name: '2.csv', body: '2' })), 'application/gzip', { [title]: 'w/data.tgz' }],
    [zstdCompressSync(rawTar({ name: '3.csv', body: '3' })), 'application/zstd'],
    [gzip(Buffer.from('no tar')), tarGzip, { [title]: 'notes.gz' }],
    ['text', 'text/plain', { [title]: 'text.tar' }],
    [gzip(rawTar({ name: '4.csv', body: '4' })), tarGzip, oras('packed')],
  ]);
  // The bytes of a tar may be here as a file already.
  assert.deepEqual(Object.keys(textsOf(await publish(reference))).includes('plain.bin'), true);
  const target = await publish(reference, { unpack: 'always' });
  const { 'notes.gz': notes, ...texts } = textsOf(target);
  assert.ok(notes !== undefined);
  assert.deepEqual(texts, {
    'set/1.csv': '1',
    'w/2.csv': '2',
    '3.csv': '3',
    'text.tar': 'text',
    'packed/4.csv': '4',
  });
});

test('an index with only an earlier variant serves that variant', async () => {
  const repository = 'variants';
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: ociManifest,
    config: describeBytes('{}', emptyType, { data: 'e30=' }),
    layers: [],
  });
  await registry.registry.putManifest(repository, 'any', ociManifest, Buffer.from(manifest));
  const platform = { os: 'linux', architecture: 'amd64', variant: 'v2' };
  const entry = describeBytes(manifest, ociManifest, { platform });
  const index = JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: [entry] });
  await registry.registry.putManifest(repository, 'v1', ociIndex, Buffer.from(index));
  const target = await publish(`${registry.host}/${repository}:v1`, { platform: 'linux/amd64/v3' });
  assert.deepEqual(textsOf(target), {});
});
