import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { type ServiceError, status } from '@grpc/grpc-js';
import { getXattr } from '../../src/linux/xattr.ts';
import { dockerList, dockerManifest, ociIndex, ociManifest } from '../../src/oci/manifest.ts';
import { waitUntil } from '../support/node/child.ts';
import { publishRequest } from '../support/node/daemon.ts';
import { openSetting } from '../support/node/setting.ts';
import { paxEntry, rawTar } from '../support/oci/raw-tar.ts';
import { gzip, sha256, tarOf } from '../support/oci/tar.ts';
import { readTree } from '../support/oci/tree.ts';

const title = 'org.opencontainers.image.title';
const imageConfig = 'application/vnd.oci.image.config.v1+json';
const imageLayer = 'application/vnd.oci.image.layer.v1.tar+gzip';

const here = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };

const { registry, node, daemon } = await openSetting();

let pushed = 0;

type Layer = {
  readonly bytes: string | Buffer;
  readonly mediaType?: string;
  readonly annotations?: Record<string, string>;
  /** sha256 if absent. */
  readonly algorithm?: 'sha512';
};
type Document = {
  readonly layers: readonly Layer[];
  readonly config?: { readonly mediaType: string; readonly document: unknown };
  readonly artifactType?: string;
};

/** Pushes a manifest as written, and returns its reference, digest and size. */
async function push({ layers, config, artifactType }: Document) {
  const repository = `row-${++pushed}`;
  const put = async (
    bytes: Buffer,
    mediaType: string,
    { annotations = {}, algorithm }: Partial<Layer> = {},
  ) => ({
    mediaType,
    digest: await (algorithm === undefined
      ? registry.registry.putBlob(repository, bytes)
      : upload(repository, bytes)),
    size: bytes.length,
    annotations,
  });
  const document = {
    schemaVersion: 2,
    mediaType: ociManifest,
    ...(artifactType === undefined ? {} : { artifactType }),
    config: await put(
      Buffer.from(JSON.stringify(config?.document ?? {})),
      config?.mediaType ?? 'application/vnd.oci.empty.v1+json',
    ),
    layers: await Promise.all(
      layers.map(layer => put(Buffer.from(layer.bytes), layer.mediaType ?? 'text/plain', layer)),
    ),
  };
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = await registry.registry.putManifest(repository, 'v1', ociManifest, bytes);
  return { repository, reference: `${registry.host}/${repository}:v1`, digest, size: bytes.length };
}

const sha512 = (bytes: Uint8Array): string => `sha512:${createHash('sha512').update(bytes).digest('hex')}`;

/** Puts a blob under its sha512. */
async function upload(repository: string, bytes: Buffer): Promise<string> {
  const digest = sha512(bytes);
  const url = `http://${registry.host}/v2/${repository}/blobs/uploads/${randomUUID()}?digest=${digest}`;
  const { status: answered } = await fetch(url, { method: 'PUT', body: new Uint8Array(bytes) });
  assert.equal(answered, 201);
  return digest;
}

async function publish(reference: string, attributes: Record<string, string> = {}): Promise<string> {
  const request = await publishRequest(node, { reference, ...attributes });
  await daemon.csi.NodePublishVolume(request);
  return request.target_path;
}

const file = (name: string, bytes: string | Buffer = `the text of ${name}`): Layer => ({
  bytes,
  annotations: { [title]: name },
});

/** The paths of everything but directories, with the text of each. */
function textsOf(target: string): Record<string, string> {
  const files = Object.entries(readTree(target)).filter(([, what]) => what !== 'directory');
  return Object.fromEntries(
    files.map(([path, what]) => [
      path,
      what.startsWith('link') ? what : readFileSync(join(target, path), 'utf8'),
    ]),
  );
}

/** Waits until the log says what of an artifact was left out, and answers that. */
async function leftOutOf(reference: string): Promise<readonly string[]> {
  const told = (): readonly string[] =>
    daemon
      .output()
      .split('\n')
      .filter(line => line.endsWith('}') && line.includes(': left out '))
      .map(line => JSON.parse(line) as { readonly reference?: string; readonly msg: string })
      .filter(line => line.reference === reference)
      .map(({ msg }) => msg);
  await waitUntil(daemon, () => told().length > 0, `told what is left out of ${reference}`);
  return told();
}

const hex = (text: string): string => sha256(Buffer.from(text)).slice(7);

describe('an artifact', () => {
  const shown: readonly (readonly [string, readonly Layer[], Record<string, string>])[] = [
    [
      'a nested name makes its directories',
      [file('w/deep/model.safetensors')],
      { 'w/deep/model.safetensors': 'the text of w/deep/model.safetensors' },
    ],
    [
      'the CNCF model path is a name',
      [{ bytes: 'm', annotations: { 'org.cncf.model.filepath': 'a/m' } }],
      { 'a/m': 'm' },
    ],
    [
      'the CNAI model path is a name',
      [{ bytes: 'm', annotations: { 'org.cnai.model.filepath': 'a/m' } }],
      { 'a/m': 'm' },
    ],
    [
      'a layer without a name is named by its digest',
      [{ bytes: 'lost?' }],
      { [`sha256-${hex('lost?')}`]: 'lost?' },
    ],
    [
      'a layer with an empty name is named by its digest',
      [file('', 'lost?')],
      { [`sha256-${hex('lost?')}`]: 'lost?' },
    ],
    ['an absolute name is below the root of the volume', [file('/etc/abs.txt', 'x')], { 'etc/abs.txt': 'x' }],
    ['a name that ends in a slash is a file', [file('dir/', 'x')], { dir: 'x' }],
    ['names keep their letters', [file('größe/模型.txt', 'x')], { 'größe/模型.txt': 'x' }],
    ['of one name twice the later is seen', [file('a', 'first'), file('a', 'second')], { a: 'second' }],
    ['a blob of no bytes is an empty file', [file('empty', '')], { empty: '' }],
    [
      'a titled tar is a file',
      [{ ...file('a.tgz', 'no tar at all'), mediaType: imageLayer }],
      { 'a.tgz': 'no tar at all' },
    ],
  ];
  for (const [name, layers, texts] of shown) {
    test(name, async () => {
      const { reference } = await push({ layers });
      assert.deepEqual(textsOf(await publish(reference)), texts);
    });
  }

  test('one blob with two names is one file with two names', async () => {
    const { reference } = await push({ layers: [file('a', 'same'), file('b', 'same')] });
    const target = await publish(reference);
    assert.deepEqual(textsOf(target), { a: 'same', b: 'same' });
    assert.equal(statSync(join(target, 'a')).ino, statSync(join(target, 'b')).ino);
  });

  test('without layers is an empty read-only directory', async () => {
    const target = await publish((await push({ layers: [] })).reference);
    assert.deepEqual(readdirSync(target), []);
    assert.throws(() => writeFileSync(join(target, 'new'), ''), /EROFS/);
  });

  test('files are 0644, directories 0755, all owned by root', async () => {
    const { reference } = await push({ layers: [file('d/f')] });
    const target = await publish(reference);
    for (const [path, mode] of [
      ['d/f', 0o100644],
      ['d', 0o40755],
      ['.', 0o40755],
    ] as const) {
      const found = statSync(join(target, path));
      assert.deepEqual([found.mode, found.uid, found.gid], [mode, 0, 0], path);
    }
  });

  for (const [name, document] of [
    ['a custom config', { config: { mediaType: 'application/vnd.acme+json', document: { a: 1 } } }],
    ['an artifactType', { artifactType: 'application/vnd.acme' }],
    ['an image config that is none', { config: { mediaType: imageConfig, document: {} } }],
    [
      'an artifactType over an image config',
      { artifactType: 'a/b', config: { mediaType: imageConfig, document: {} } },
    ],
  ] as const) {
    test(`with ${name} is mounted`, async () => {
      const { reference } = await push({ ...document, layers: [file('f', 'x')] });
      assert.deepEqual(textsOf(await publish(reference)), { f: 'x' });
    });
  }

  const refused: readonly (readonly [string, readonly Layer[], RegExp])[] = [
    ['a name that climbs out', [file('ok'), file('../../evil.txt')], /layer 2 .*\.\.\/\.\.\/evil\.txt/],
    ['the name "."', [file('.')], /layer 1/],
    ['a name with NUL', [file('a\0b')], /layer 1/],
    ['a part of a name over 255 bytes', [file('x'.repeat(256))], /layer 1/],
    ['a file where another layer needs a directory', [file('x'), file('x/y')], /layer [12].*layer [12]/s],
    ['a directory where another layer needs a file', [file('x/y'), file('x')], /layer [12].*layer [12]/s],
  ];
  for (const [name, layers, why] of refused) {
    test(`${name} is refused, and nothing remains at the target`, async () => {
      const { reference } = await push({ layers });
      const request = await publishRequest(node, { reference });
      await assert.rejects(
        daemon.csi.NodePublishVolume(request),
        (error: ServiceError) => error.code === status.FAILED_PRECONDITION && why.test(error.details),
      );
      assert.throws(() => lstatSync(request.target_path), /ENOENT/);
    });
  }

  test('a directory pushed by ORAS is unpacked once for two artifacts', async () => {
    const tar = await tarOf([
      [{ name: 'd/', type: 'directory', mode: 0o700 }],
      [{ name: 'd/run.sh', mode: 0o4755, uid: 7, gid: 8, mtime: new Date(1e12) }, 'echo'],
    ]);
    const layer: Layer = {
      bytes: gzip(tar),
      mediaType: imageLayer,
      annotations: {
        [title]: 'd',
        'io.deis.oras.content.unpack': 'true',
        'io.deis.oras.content.digest': sha256(tar),
      },
    };
    const one = await publish((await push({ layers: [layer, file('one')] })).reference);
    const two = await publish((await push({ layers: [layer, file('two')] })).reference);
    const [a, b] = [one, two].map(target => statSync(join(target, 'd/run.sh')));
    assert.equal(a?.ino, b?.ino);
    assert.deepEqual([a?.mode, a?.uid, a?.gid, a?.mtimeMs], [0o100755, 7, 8, 1e12]);
    assert.equal(statSync(join(one, 'd')).mode & 0o7777, 0o700);
    assert.equal(readFileSync(join(two, 'd/run.sh'), 'utf8'), 'echo');
    const blobs = registry.asked.filter(
      ({ method, path }) => method === 'GET' && path.endsWith(sha256(gzip(tar))),
    );
    assert.ok(blobs.length <= 1);
  });

  test('a directory pushed by ORAS with a wrong tar digest is refused', async () => {
    const layer: Layer = {
      bytes: gzip(await tarOf([[{ name: 'f' }, 'x']])),
      mediaType: imageLayer,
      annotations: {
        'io.deis.oras.content.unpack': 'true',
        'io.deis.oras.content.digest': sha256(Buffer.from('other')),
      },
    };
    await assert.rejects(
      publish((await push({ layers: [layer] })).reference),
      /FAILED_PRECONDITION.*promises/,
    );
  });

  const plain = (tar: Buffer): Buffer => tar;
  const model = { 'org.cncf.model.filepath': 'w' };
  const cnaiModel = { 'org.cnai.model.filepath': 'w' };
  for (const [mediaType, annotations, compress] of [
    ['application/vnd.cncf.model.weight.v1.tar', model, plain],
    ['application/vnd.cncf.model.weight.v1.tar+gzip', model, gzip],
    ['application/vnd.cncf.model.weight.v1.tar+zstd', model, zstdCompressSync],
    ['application/vnd.cnai.model.weight.v1.tar', cnaiModel, plain],
    ['application/vnd.cnai.model.weight.v1.tar+gzip', cnaiModel, gzip],
    ['application/vnd.cnai.model.weight.v1.tar+zstd', cnaiModel, zstdCompressSync],
    ['application/vnd.kitops.modelkit.model.v1.tar', {}, plain],
    ['application/vnd.kitops.modelkit.model.v1.tar+gzip', {}, gzip],
    ['application/vnd.kitops.modelkit.model.v1.tar.gzip', {}, gzip],
    ['application/vnd.kitops.modelkit.model.v1.tar+zstd', {}, zstdCompressSync],
  ] as const) {
    const named = Object.keys(annotations).length > 0 ? 'with' : 'without';
    test(`${mediaType} ${named} a name is unpacked at the root, and a file under unpack: never`, async () => {
      const tar = await tarOf([[{ name: 'w/f' }, 'x']]);
      const bytes = compress(tar);
      const { reference } = await push({ layers: [{ bytes, mediaType, annotations }] });
      assert.deepEqual(textsOf(await publish(reference)), { 'w/f': 'x' });
      const kept = readTree(await publish(reference, { unpack: 'never' }));
      const path = Object.values(annotations)[0] ?? `sha256-${sha256(bytes).slice(7)}`;
      assert.deepEqual(kept, { [path]: `${bytes.length} bytes ${sha256(bytes).slice(7)}` });
    });
  }

  for (const [mediaType, annotations] of [
    ['application/vnd.cncf.model.weight.v1.raw', model],
    ['application/vnd.cnai.model.weight.v1.raw', cnaiModel],
    ['application/x.tar', { [title]: 'a.tar' }],
    ['application/x.tar+gzip', { [title]: 'a.tgz' }],
    ['application/x.tar.gzip', { [title]: 'a.tgz' }],
    ['application/x.tar+zstd', { [title]: 'a.tar.zst' }],
  ] as const) {
    const named = Object.keys(annotations).length > 0 ? 'with' : 'without';
    test(`${mediaType} ${named} a name is a file, even if its bytes are a tar`, async () => {
      const bytes = await tarOf([[{ name: 'w/f' }, 'x']]);
      const { reference } = await push({ layers: [{ bytes, mediaType, annotations }] });
      const path = Object.values(annotations)[0] ?? `sha256-${sha256(bytes).slice(7)}`;
      assert.deepEqual(readTree(await publish(reference)), {
        [path]: `${bytes.length} bytes ${sha256(bytes).slice(7)}`,
      });
    });
  }

  test('a layer that claims to be a tar and is not is refused with its digest', async () => {
    const text = 'just text, and not enough of it';
    const { reference } = await push({
      layers: [file('a'), { bytes: text, mediaType: 'application/x.tar' }],
    });
    const why = new RegExp(`FAILED_PRECONDITION: .*layer sha256:${hex(text)} claims to be a tar and is none`);
    await assert.rejects(publish(reference), why);
  });

  test('layers may have sha512 digests: files, tars and their diff ids', async () => {
    const [plain, zipped] = [await tarOf([[{ name: 'p/f' }, 'p']]), await tarOf([[{ name: 'z/f' }, 'z']])];
    const promised = (tar: Buffer): Record<string, string> => ({
      'io.deis.oras.content.unpack': 'true',
      'io.deis.oras.content.digest': sha256(tar),
    });
    const { reference } = await push({
      layers: [
        { ...file('named', 'n'), algorithm: 'sha512' },
        { bytes: 'lost?', algorithm: 'sha512' },
        { bytes: plain, mediaType: 'application/x.tar', annotations: promised(plain), algorithm: 'sha512' },
        {
          bytes: gzip(zipped),
          mediaType: imageLayer,
          annotations: promised(zipped),
          algorithm: 'sha512',
        },
      ],
    });
    assert.deepEqual(textsOf(await publish(reference)), {
      named: 'n',
      [sha512(Buffer.from('lost?')).replace(':', '-')]: 'lost?',
      'p/f': 'p',
      'z/f': 'z',
    });
  });

  for (const [what, layer] of [
    ['small file', { ...file('f', 'the right bytes of a file'), algorithm: 'sha512' }],
    ['large file', { ...file('f', 'the right bytes, '.repeat(100_000)), algorithm: 'sha512' }],
    [
      'tar',
      {
        bytes: rawTar({ name: 'f', body: 'the right bytes in a tar' }),
        mediaType: 'application/x.tar',
        algorithm: 'sha512',
      },
    ],
  ] as const) {
    test(`a ${what} with a wrong sha512 is refused, and the right bytes are mounted later`, async t => {
      const { reference } = await push({ layers: [layer] });
      const digest = sha512(Buffer.from(layer.bytes));
      t.after(() => registry.fault(() => undefined));
      registry.fault(({ path }) => (path.endsWith(digest) ? { kind: 'wrong-bytes' } : undefined));
      const request = await publishRequest(node, { reference });
      await assert.rejects(
        daemon.csi.NodePublishVolume(request),
        new RegExp(`UNAVAILABLE.*${digest}.*have digest sha512:`),
      );
      assert.throws(() => lstatSync(request.target_path), /ENOENT/);
      registry.fault(() => undefined);
      await daemon.csi.NodePublishVolume(request);
      assert.match(readFileSync(join(request.target_path, 'f'), 'utf8'), /^the right bytes/);
    });
  }

  for (const [what, header] of [
    ['device node', { type: 'character-device', devmajor: 1, devminor: 3 }],
    ['FIFO', { type: 'fifo' }],
  ] as const) {
    test(`a ${what} is refused`, async () => {
      const bytes = await tarOf([[{ name: 'bad', ...header }]]);
      await assert.rejects(
        publish((await push({ layers: [{ bytes, mediaType: 'application/x.tar' }] })).reference),
        /FAILED_PRECONDITION.*bad/,
      );
    });
  }

  test('include and exclude decide what is downloaded', async () => {
    const { reference } = await push({
      layers: [file('a.bin', 'only a'), file('b.onnx', 'not b'), file('c.bin', 'nor c')],
    });
    const target = await publish(reference, { include: '*.bin', exclude: 'c.*' });
    assert.deepEqual(textsOf(target), { 'a.bin': 'only a' });
    for (const text of ['not b', 'nor c']) assert.equal(registry.count('GET', hex(text)), 0);
    assert.equal(registry.count('GET', hex('only a')), 1);
    await assert.rejects(publish(reference, { include: '*.gguf' }), /FAILED_PRECONDITION/);
  });

  test('subPath shows a directory of the tree, or a directory with the one file', async () => {
    const { reference } = await push({
      layers: [file('a/b/c.txt', 'c'), file('a/d.txt', 'd'), file('e.txt', 'e')],
    });
    assert.deepEqual(textsOf(await publish(reference, { subPath: 'a' })), { 'b/c.txt': 'c', 'd.txt': 'd' });
    assert.deepEqual(textsOf(await publish(reference, { subPath: 'a/b/c.txt' })), { 'c.txt': 'c' });
    await assert.rejects(publish(reference, { subPath: 'a/x' }), /FAILED_PRECONDITION/);
    await assert.rejects(publish(reference, { subPath: '../x' }), /INVALID_ARGUMENT/);
  });

  test('no part of the volume can be written', async () => {
    const { reference } = await push({ layers: [file('d/f')] });
    const target = await publish(reference);
    assert.throws(() => writeFileSync(join(target, 'd/f'), ''), /EROFS/);
    assert.throws(() => writeFileSync(join(target, 'new'), ''), /EROFS/);
    assert.throws(() => chmodSync(join(target, 'd'), 0o777), /EROFS/);
  });

  test('the volume is one mount, read-only, nosuid and nodev', async () => {
    const { reference } = await push({ layers: [file('a'), file('b/c')] });
    const target = await publish(reference);
    const lines = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter(line => line.includes(target));
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', / ro,nosuid,nodev/);
  });
});

describe('an index', () => {
  async function pushIndex(
    platforms: readonly ({ os: string; architecture: string } | undefined)[],
  ): Promise<string> {
    const manifests = [];
    let repository = '';
    for (const platform of platforms) {
      const pushed = await push({ layers: [file('platform', platform?.architecture ?? 'any')] });
      repository = pushed.repository;
      manifests.push({
        mediaType: ociManifest,
        digest: pushed.digest,
        size: pushed.size,
        platform,
        bytes: pushed,
      });
    }
    // All in the last repository, where the index will be.
    for (const manifest of manifests) {
      const text = await (
        await fetch(`http://${registry.host}/v2/${manifest.bytes.repository}/manifests/v1`)
      ).bytes();
      await registry.registry.putManifest(repository, manifest.digest, ociManifest, text);
      for (const layer of JSON.parse(Buffer.from(text).toString()).layers) {
        const blob = await (
          await fetch(`http://${registry.host}/v2/${manifest.bytes.repository}/blobs/${layer.digest}`)
        ).bytes();
        await registry.registry.putBlob(repository, blob);
      }
    }
    const document = {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: manifests.map(({ bytes: _, ...descriptor }) => descriptor),
    };
    await registry.registry.putManifest(repository, 'index', ociIndex, Buffer.from(JSON.stringify(document)));
    return `${registry.host}/${repository}:index`;
  }

  test("shows the node's platform, or the requested one", async () => {
    const reference = await pushIndex([{ os: 'linux', architecture: 's390x' }, here]);
    assert.equal(textsOf(await publish(reference))['platform'], here.architecture);
    assert.equal(textsOf(await publish(reference, { platform: 'linux/s390x' }))['platform'], 's390x');
  });

  test('prefers entries with a platform over those without', async () => {
    const reference = await pushIndex([undefined, here]);
    assert.equal(textsOf(await publish(reference))['platform'], here.architecture);
    assert.equal(textsOf(await publish(reference, { platform: 'linux/riscv64' }))['platform'], 'any');
  });

  test('without the platform is refused with a list of its platforms', async () => {
    const reference = await pushIndex([{ os: 'linux', architecture: 's390x' }]);
    await assert.rejects(publish(reference), /FAILED_PRECONDITION.*linux\/s390x/);
  });
});

describe('a container image', () => {
  type Entries = Parameters<typeof tarOf>[0];
  async function pushImage(...layers: readonly (Entries | Buffer)[]): Promise<string> {
    const tars = await Promise.all(
      layers.map(async layer => (Buffer.isBuffer(layer) ? layer : tarOf(layer))),
    );
    const document = {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
    };
    return (
      await push({
        layers: tars.map(tar => ({ bytes: gzip(tar), mediaType: imageLayer })),
        config: { mediaType: imageConfig, document },
      })
    ).reference;
  }
  const dir = (name: string): Entries[number] => [{ name, type: 'directory' }];

  const shown: readonly (readonly [string, readonly Entries[], Record<string, string>])[] = [
    ['shows the upper file', [[[{ name: 'f' }, 'low']], [[{ name: 'f' }, 'high']]], { f: 'high' }],
    [
      'hides what is whited out',
      [
        [
          [{ name: 'd/a' }, 'a'],
          [{ name: 'd/b' }, 'b'],
        ],
        [[{ name: 'd/.wh.a' }]],
      ],
      { 'd/b': 'b' },
    ],
    [
      'hides what is below an opaque directory',
      [[[{ name: 'd/a' }, 'a']], [dir('d/'), [{ name: 'd/.wh..wh..opq' }], [{ name: 'd/b' }, 'b']]],
      { 'd/b': 'b' },
    ],
    [
      'hides the lower directory of one that was removed and made anew',
      [[[{ name: 'd/old' }, 'o']], [[{ name: '.wh.d' }], dir('d/'), [{ name: 'd/new' }, 'n']]],
      { 'd/new': 'n' },
    ],
    [
      'follows the symlink of a lower layer, which a directory replaces',
      [
        [
          dir('usr/lib/'),
          [{ name: 'lib', type: 'symlink', linkname: 'usr/lib' }],
          [{ name: 'bin', type: 'symlink', linkname: 'usr/lib' }],
        ],
        [[{ name: 'lib/x' }, 'x'], dir('bin/'), [{ name: 'bin/y' }, 'y']],
      ],
      { lib: 'link to usr/lib', 'lib/x': 'x', 'usr/lib/x': 'x', 'bin/y': 'y' },
    ],
    [
      'follows a symlink whose directory is in a lower layer, or comes later',
      [
        [dir('usr/lib/')],
        [
          [{ name: 'lib', type: 'symlink', linkname: 'usr/lib' }],
          [{ name: 'lib/x' }, 'x'],
          [{ name: 'run', type: 'symlink', linkname: 'var/run' }],
          [{ name: 'run/y' }, 'y'],
          dir('var/run/'),
        ],
      ],
      {
        lib: 'link to usr/lib',
        'lib/x': 'x',
        'usr/lib/x': 'x',
        run: 'link to var/run',
        'run/y': 'y',
        'var/run/y': 'y',
      },
    ],
    [
      'has a hard link to a file of a lower layer',
      [[[{ name: 'low' }, 'x']], [[{ name: 'up', type: 'link', linkname: 'low' }]]],
      { low: 'x', up: 'x' },
    ],
    [
      'leaves out devices, and what they replace',
      [
        [
          [{ name: 'd/f' }, 'f'],
          [{ name: 'g' }, 'g'],
        ],
        [[{ name: 'd', type: 'character-device' }], [{ name: 'g', type: 'fifo' }]],
      ],
      {},
    ],
    [
      'shows the upper of file and directory',
      [
        [
          [{ name: 'x/y' }, 'y'],
          [{ name: 'z' }, 'z'],
        ],
        [
          [{ name: 'x' }, 'x'],
          [{ name: 'z/a' }, 'a'],
        ],
      ],
      { x: 'x', 'z/a': 'a' },
    ],
    [
      'keeps symlinks as they are',
      [[[{ name: 'l', type: 'symlink', linkname: '/etc/passwd' }]]],
      { l: 'link to /etc/passwd' },
    ],
  ];
  for (const [name, layers, texts] of shown) {
    test(name, async () => {
      assert.deepEqual(textsOf(await publish(await pushImage(...layers))), texts);
    });
  }

  test('keeps hard links of one layer', async () => {
    const target = await publish(
      await pushImage([[{ name: 'usr/f' }, 'f'], [{ name: 'g', type: 'link', linkname: 'usr/f' }]]),
    );
    assert.deepEqual(textsOf(target), { 'usr/f': 'f', g: 'f' });
    assert.equal(statSync(join(target, 'g')).ino, statSync(join(target, 'usr/f')).ino);
  });

  test('leaves out device nodes and FIFOs, and logs them', async () => {
    const low = await tarOf([
      [{ name: 'dev/null', type: 'character-device', devmajor: 1, devminor: 3 }],
      [{ name: 'dev/sda', type: 'block-device', devmajor: 8, devminor: 0 }],
      [{ name: 'f' }, 'f'],
    ]);
    const high = await tarOf([[{ name: 'p', type: 'fifo' }]]);
    const reference = await pushImage(low, high);
    assert.deepEqual(textsOf(await publish(reference)), { f: 'f' });
    const layerOf = (index: number, tar: Buffer): string =>
      `layer ${index} (${sha256(gzip(tar)).slice(0, 19)}) of ${reference}`;
    assert.deepEqual(await leftOutOf(reference), [
      `${layerOf(1, low)}: left out character device "dev/null", block device "dev/sda"`,
      `${layerOf(2, high)}: left out FIFO "p"`,
    ]);
  });

  test('leaves out attributes that are not user attributes, and logs them', async () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex'); // cap_net_raw, effective
    const tar = rawTar(
      paxEntry({ 'SCHILY.xattr.security.capability': capability }),
      { name: 'ping', mode: '0000755', body: 'x' },
      paxEntry({ 'SCHILY.xattr.security.capability': capability }),
      { name: 'arping', mode: '0000755', body: 'x' },
    );
    const reference = await pushImage(tar);
    const target = await publish(reference);
    const ping = openSync(join(target, 'ping'), 'r');
    try {
      assert.equal(getXattr(ping, 'security.capability'), undefined);
    } finally {
      closeSync(ping);
    }
    const [note, ...others] = await leftOutOf(reference);
    assert.match(
      note ?? '',
      new RegExp(`layer ${sha256(gzip(tar))}: left out .* "security.capability" of 2$`),
    );
    assert.deepEqual(others, []);
  });

  test("with Docker's media types in a manifest list is equal", async () => {
    const repository = 'docker';
    const put = async (bytes: Buffer, mediaType: string): Promise<object> => ({
      mediaType,
      digest: await registry.registry.putBlob(repository, bytes),
      size: bytes.length,
    });
    const pushManifest = async (architecture: string, ...layers: readonly Entries[]): Promise<object> => {
      const tars = await Promise.all(layers.map(tarOf));
      const config = {
        architecture,
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
      };
      const manifest = {
        schemaVersion: 2,
        mediaType: dockerManifest,
        config: await put(
          Buffer.from(JSON.stringify(config)),
          'application/vnd.docker.container.image.v1+json',
        ),
        layers: await Promise.all(
          tars.map(tar => put(gzip(tar), 'application/vnd.docker.image.rootfs.diff.tar.gzip')),
        ),
      };
      const bytes = Buffer.from(JSON.stringify(manifest));
      const digest = await registry.registry.putManifest(repository, sha256(bytes), dockerManifest, bytes);
      const platform = { os: 'linux', architecture };
      return { mediaType: dockerManifest, digest, size: bytes.length, platform };
    };
    const list = {
      schemaVersion: 2,
      mediaType: dockerList,
      manifests: [
        await pushManifest('s390x', [[{ name: 'other' }, 'other']]),
        await pushManifest(
          here.architecture,
          [
            [{ name: 'etc/low' }, 'low'],
            [{ name: 'etc/gone' }, 'gone'],
          ],
          [[{ name: 'etc/.wh.gone' }], [{ name: 'usr/high' }, 'high']],
        ),
      ],
    };
    await registry.registry.putManifest(repository, 'v1', dockerList, Buffer.from(JSON.stringify(list)));
    const target = await publish(`${registry.host}/${repository}:v1`);
    assert.deepEqual(textsOf(target), { 'etc/low': 'low', 'usr/high': 'high' });
    // A registry that is not asked for them may answer 404.
    const accepted = registry.asked.find(({ path }) => path.endsWith(`/${repository}/manifests/v1`));
    for (const mediaType of [dockerList, dockerManifest])
      assert.ok(accepted?.headers.accept?.includes(mediaType), mediaType);
  });

  test('has no setuid bit', async () => {
    const target = await publish(await pushImage([[{ name: 'su', mode: 0o6755 }, 'x']]));
    assert.equal(statSync(join(target, 'su')).mode & 0o7777, 0o755);
  });

  test('is flattened under unpack: never, too', async () => {
    const reference = await pushImage([[{ name: 'f' }, 'f']]);
    assert.deepEqual(textsOf(await publish(reference, { unpack: 'never' })), { f: 'f' });
    await assert.rejects(publish(reference, { include: 'f' }), /FAILED_PRECONDITION.*container image/);
  });

  test('with a hard link to a missing file is refused with its name', async () => {
    const reference = await pushImage(
      [[{ name: 'low' }, 'x']],
      [[{ name: '.wh.low' }], [{ name: 'up', type: 'link', linkname: 'low' }]],
    );
    await assert.rejects(publish(reference), /FAILED_PRECONDITION.*up/);
  });

  for (const name of ['../out', 'a/../../out', '/../out']) {
    test(`with the entry ${name} is refused`, async () => {
      await assert.rejects(publish(await pushImage([[{ name }, 'x']])), /FAILED_PRECONDITION.*out/);
    });
  }

  test('with a layer that does not match its diff_id is refused', async () => {
    const tar = await tarOf([[{ name: 'f' }, 'x']]);
    const document = { rootfs: { type: 'layers', diff_ids: [sha256(Buffer.from('another'))] } };
    const { reference } = await push({
      layers: [{ bytes: gzip(tar), mediaType: imageLayer }],
      config: { mediaType: imageConfig, document },
    });
    await assert.rejects(publish(reference), /FAILED_PRECONDITION/);
  });

  test('of a new version downloads only its new layers', async () => {
    const base: Entries = [[{ name: 'base' }, 'b'.repeat(10_000)]];
    await publish(await pushImage(base, [[{ name: 'v' }, '1']]));
    const before = registry.asked.filter(
      ({ method, path }) => method === 'GET' && path.includes('/blobs/'),
    ).length;
    const target = await publish(await pushImage(base, [[{ name: 'v' }, '2']]));
    const after = registry.asked.filter(
      ({ method, path }) => method === 'GET' && path.includes('/blobs/'),
    ).length;
    assert.equal(after - before, 2, 'its config and its new layer');
    assert.equal(readFileSync(join(target, 'v'), 'utf8'), '2');
  });

  test('subPath does not follow a symlink out of the tree', async () => {
    const reference = await pushImage([
      [{ name: 'l', type: 'symlink', linkname: '/' }],
      [{ name: 'd/f' }, 'f'],
      [{ name: 'up', type: 'symlink', linkname: '../../../../d' }],
    ]);
    assert.deepEqual(textsOf(await publish(reference, { subPath: 'up' })), { f: 'f' });
    assert.equal(readlinkSync(join(await publish(reference, { subPath: 'l' }), 'up')), '../../../../d');
  });
});
