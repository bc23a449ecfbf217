import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../util/error.ts';
import { doAtOnce } from '../util/pace.ts';
import { parseDigest } from './digest.ts';
import * as oci from './manifest.ts';
import { dockerList, dockerManifest, ociIndex, ociManifest, parseData } from './manifest.ts';

const parseManifest = (...args: Parameters<typeof oci.parseManifest>) => doAtOnce(oci.parseManifest(...args));
const parseDiffIds = (...args: Parameters<typeof oci.parseDiffIds>) => doAtOnce(oci.parseDiffIds(...args));

const digest = `sha256:${'b'.repeat(64)}`;
const descriptor = { mediaType: 'text/plain', digest, size: 3 };
const bytes = (document: unknown): Uint8Array =>
  Buffer.from(typeof document === 'string' ? document : JSON.stringify(document));
const manifest = { schemaVersion: 2, mediaType: ociManifest, config: descriptor, layers: [descriptor] };

test('a manifest is parsed with its layers and annotations', () => {
  const parsed = parseManifest(
    bytes({ ...manifest, artifactType: 'a/b', annotations: { k: 'v' } }),
    ociManifest,
    'r/x',
  );
  assert.equal(parsed.kind, 'manifest');
  assert.equal(parsed.artifactType, 'a/b');
  assert.deepEqual({ ...parsed.annotations }, { k: 'v' });
  assert.equal(parsed.kind === 'manifest' && parsed.layers[0]?.digest, digest);
});

for (const [name, document, served, kind] of [
  ['Docker manifest', { ...manifest, mediaType: dockerManifest }, dockerManifest, 'manifest'],
  ['Docker list', { schemaVersion: 2, mediaType: dockerList, manifests: [] }, dockerList, 'index'],
  [
    'index',
    {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [{ ...descriptor, platform: { os: 'linux', architecture: 'amd64' } }],
    },
    ociIndex,
    'index',
  ],
  ['document without a media type', { ...manifest, mediaType: undefined }, ociManifest, 'manifest'],
  ['index without a media type', { schemaVersion: 2, manifests: [] }, ociIndex, 'index'],
  ['document whose media type only it knows', manifest, '', 'manifest'],
  ['document without any media type', { ...manifest, mediaType: undefined }, '', 'manifest'],
  ['list of layers that is null', { ...manifest, layers: null }, ociManifest, 'manifest'],
  ['manifest with no list of manifests, as null', { ...manifest, manifests: null }, ociManifest, 'manifest'],
  [
    'index with neither layers nor config, as null',
    { schemaVersion: 2, manifests: [], layers: null, config: null },
    ociIndex,
    'index',
  ],
  ['document whose media type is empty', { ...manifest, mediaType: '' }, ociManifest, 'manifest'],
] as const) {
  test(`a ${name} is an ${kind}`, () => {
    assert.equal(parseManifest(bytes(document), served, 'r/x').kind, kind);
  });
}

const refused: readonly (readonly [string, unknown, string, RegExp])[] = [
  ['what is not JSON', '{', ociManifest, /: it is not JSON: it ends too early$/],
  ['what is not UTF-8 JSON', '"\ud800"', ociManifest, /not JSON|not a JSON object/],
  ['a list', [], ociManifest, /not a JSON object/],
  ['schema 1', manifest, 'application/vnd.docker.distribution.manifest.v1+prettyjws', /schema 1/],
  ['schemaVersion 1', { ...manifest, schemaVersion: 1 }, ociManifest, /schemaVersion is 1/],
  [
    'index and manifest at once',
    { ...manifest, manifests: [] },
    ociManifest,
    /both "manifests" and "layers"/,
  ],
  ['a media type that is not the served one', manifest, ociIndex, /served as/],
  ['an unknown media type', { ...manifest, mediaType: 'a/b' }, 'a/b', /"a\/b" is none/],
  ['no config', { ...manifest, config: undefined }, ociManifest, /"config" is not a descriptor/],
  ['layers that are no list', { ...manifest, layers: {} }, ociManifest, /"layers" is not a list/],
  [
    'a digest of another algorithm',
    { ...manifest, layers: [{ ...descriptor, digest: 'md5:00' }] },
    ociManifest,
    /layers\[0\]\.digest/,
  ],
  [
    'a path as digest',
    { ...manifest, layers: [{ ...descriptor, digest: 'sha256:../../x' }] },
    ociManifest,
    /layers\[0\]\.digest/,
  ],
  [
    'a negative size',
    { ...manifest, layers: [{ ...descriptor, size: -1 }] },
    ociManifest,
    /layers\[0\]\.size/,
  ],
  [
    'a size beyond exact numbers',
    { ...manifest, layers: [{ ...descriptor, size: 2 ** 53 }] },
    ociManifest,
    /layers\[0\]\.size/,
  ],
  [
    'a size in words',
    { ...manifest, layers: [{ ...descriptor, size: '3' }] },
    ociManifest,
    /layers\[0\]\.size/,
  ],
  [
    'more annotations than anybody writes',
    {
      ...manifest,
      layers: [
        {
          ...descriptor,
          annotations: Object.fromEntries(Array.from({ length: 1001 }, (_, nth) => [`k${nth}`, ''])),
        },
      ],
    },
    ociManifest,
    /"layers\[0\]\.annotations" has more than 1000 annotations/,
  ],
  ...(['artifactType', 'mediaType'] as const).map(
    field =>
      [
        `a layer's ${field} beyond RFC 6838`,
        { ...manifest, layers: [{ ...descriptor, [field]: `a/${'b'.repeat(254)}` }] },
        ociManifest,
        new RegExp(`"layers\\[0\\]\\.${field}" has 256 characters; 255 are the most`),
      ] as const,
  ),
  [
    'an artifactType of megabytes',
    { ...manifest, artifactType: '<'.repeat(3_900_000) },
    ociManifest,
    /"artifactType" has 3900000 characters; 255 are the most/,
  ],
  [
    'annotations longer than those of an object in Kubernetes',
    { ...manifest, annotations: { a: 'x'.repeat(200_000), b: 'y'.repeat(70_000) } },
    ociManifest,
    /"annotations" has 270002 characters; 262144 are the most/,
  ],
  ['annotations that are no text', { ...manifest, annotations: { a: 1 } }, ociManifest, /annotations/],
];

for (const [name, document, served, why] of refused) {
  test(`${name} is refused`, () => {
    assert.throws(
      () => parseManifest(bytes(document), served, 'r/x'),
      (thrown: unknown) =>
        thrown instanceof ArtifactError && thrown.code === 'unmountable' && why.test(thrown.message),
    );
  });
}

test('any JSON yields a document or an error with the reason', () => {
  fc.assert(
    fc.property(fc.json(), text => {
      try {
        parseManifest(Buffer.from(text), ociManifest, 'r/x');
      } catch (thrown) {
        assert.ok(thrown instanceof ArtifactError);
      }
    }),
  );
});

test('diff_ids are read from an image config, and from nothing else', () => {
  assert.deepEqual(parseDiffIds(bytes({ rootfs: { diff_ids: [digest] } })), [digest]);
  assert.equal(parseDiffIds(bytes({})), undefined);
  assert.equal(parseDiffIds(bytes({ rootfs: { diff_ids: [1] } })), undefined);
  assert.equal(parseDiffIds(bytes('no JSON')), undefined);
  assert.equal(parseDiffIds(bytes('[]')), undefined);
});

const digestOf = (bytes: Uint8Array, algorithm = 'sha256') =>
  parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`);

test('embedded content that matches digest and size is used', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 100 }),
      fc.constantFrom('sha256', 'sha512'),
      (bytes, algorithm) => {
        const text = Buffer.from(bytes).toString('base64');
        const found = parseData(text, { digest: digestOf(bytes, algorithm), size: bytes.length });
        assert.deepEqual(found && [...found], [...bytes]);
      },
    ),
  );
});

const empty = Buffer.from('{}');
const described = { digest: digestOf(empty), size: 2 };
for (const [name, text, of] of [
  ['no content', undefined, described],
  ['other content', Buffer.from('[]').toString('base64'), described],
  ['content of another size', empty.toString('base64'), { ...described, size: 3 }],
  ['content cut off', 'e3', described],
  ['more than the content', 'e30=e30=', described],
  ['what is not Base64', '{}{}', described],
] as const) {
  test(`${name} in the field data is ignored`, () => assert.equal(parseData(text, of), undefined));
}
