import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import { anonymous, openTestClient } from '../../../test/support/registry/registry-client.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { toDigest } from '../../oci/digest.ts';
import { ociManifest } from '../../oci/manifest.ts';
import type { RegistryClient } from '../client.ts';

const { signal } = new AbortController();
const other = toDigest('sha256', hash('sha256', 'other'));
let registry: FaultyRegistry;
let client: RegistryClient;
let manifest: Descriptor;

before(async () => {
  registry = await openFaultyRegistry();
  ({ manifest } = await registry.push('team/model', 'v1', [{ name: 'a.txt', bytes: Buffer.from('a') }]));
});
beforeEach(() => {
  registry.reset();
  client = openTestClient();
});
after(() => registry[Symbol.asyncDispose]());

const repository = () => ({ registry: registry.host, path: 'team/model' });
const resolve = async (tag = 'v1') =>
  (await client.resolve({ ...repository(), tag }, anonymous, signal)).descriptor;
const resolveDigest = async () =>
  (await client.resolve({ ...repository(), digest: manifest.digest }, anonymous, signal)).descriptor;
const fetchManifest = async (descriptor = manifest) =>
  (await client.manifest(repository(), descriptor, anonymous, signal)).bytes;
const methods = () => registry.asked.map(({ method }) => method);

test('a tag is resolved by one HEAD that accepts every type of manifest', async () => {
  assert.deepEqual(await resolve(), manifest);
  assert.deepEqual(methods(), ['HEAD']);
  assert.equal(
    registry.asked[0]?.headers.accept,
    'application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json',
  );
});

test('a digest is resolved to itself', async () => {
  assert.deepEqual(await resolveDigest(), manifest);
});

for (const [what, headers] of [
  ['no digest', { 'docker-content-digest': undefined }],
  ['a digest that is none', { 'docker-content-digest': 'sha256:short' }],
  ['no length', { 'content-length': undefined }],
  ['no type', { 'content-type': undefined }],
  ['a type longer than any', { 'content-type': `application/${'x'.repeat(255)}` }],
] as const) {
  test(`a HEAD with ${what} is followed by a GET whose body is hashed`, async () => {
    registry.fault(({ method }) => (method === 'HEAD' ? { kind: 'headers', headers } : undefined));
    assert.deepEqual(await resolve(), manifest);
    assert.deepEqual(methods(), ['HEAD', 'GET']);
  });
}

test('a registry that does not support HEAD is asked with GET', async () => {
  registry.fault(({ method }) => (method === 'HEAD' ? { kind: 'status', status: 405 } : undefined));
  assert.deepEqual(await resolve(), manifest);
});

test('the parameters of a media type are ignored', async () => {
  registry.fault(() => ({ kind: 'headers', headers: { 'content-type': `${ociManifest}; charset=utf-8` } }));
  assert.equal((await resolve()).mediaType, ociManifest);
});

test('a HEAD that reports another digest does not decide', async () => {
  registry.fault(({ method }) =>
    method === 'HEAD' ? { kind: 'headers', headers: { 'docker-content-digest': other } } : undefined,
  );
  assert.deepEqual(await resolveDigest(), manifest);
});

for (const status of [401, 403, 404, 429, 500]) {
  test(`a HEAD that fails with ${status} is followed by one GET, which may succeed`, async () => {
    registry.fault(({ method }) => (method === 'HEAD' ? { kind: 'status', status } : undefined));
    assert.deepEqual(await resolve(), manifest);
    assert.deepEqual(methods(), ['HEAD', 'GET']);
  });

  test(`a HEAD that fails with ${status} is followed by one GET, whose body gives the reason`, async () => {
    const code = 'DENIED';
    const message = 'Your authorization token has expired.';
    registry.fault(() => ({ kind: 'status', status, code, message }));
    await assert.rejects(resolve(), { message: /\(DENIED: Your authorization token has expired\.\)/ });
  });

  test(`a HEAD that fails with ${status} does not mean that the content is missing`, async () => {
    const content = { kind: 'manifest', descriptor: manifest } as const;
    const has = () => client.has(repository(), content, anonymous, signal);
    registry.fault(({ method }) => (method === 'HEAD' ? { kind: 'status', status } : undefined));
    assert.deepEqual(await has(), { isOpen: true });
    registry.fault(() => ({ kind: 'status', status: 404 }));
    assert.equal(await has(), undefined);
  });
}

test('every request asks for uncompressed bytes, and an error names a compressed response', async () => {
  await resolve();
  await fetchManifest();
  assert.deepEqual(
    registry.asked.map(({ headers }) => headers['accept-encoding']),
    ['identity', 'identity'],
  );
  registry.fault(() => ({ kind: 'headers', headers: { 'content-encoding': 'gzip', 'content-length': '9' } }));
  await assert.rejects(fetchManifest(), {
    code: 'corrupt',
    message:
      /sent 9 bytes, and its descriptor says \d+ \(with Content-Encoding gzip, which was not asked for\); check their source$/,
  });
});

test('a compressed response without a digest is reported, and its length is not taken as the size', async () => {
  const headers = { 'content-encoding': 'gzip' };
  registry.fault(({ method }) => (method === 'HEAD' ? { kind: 'headers', headers } : undefined));
  assert.deepEqual(await resolve(), manifest);
  assert.deepEqual(methods(), ['HEAD', 'GET']);
  registry.fault(() => ({ kind: 'headers', headers: { ...headers, 'docker-content-digest': undefined } }));
  await assert.rejects(resolve(), {
    code: 'corrupt',
    message: /sent it packed \(with Content-Encoding gzip, which was not asked for\)$/,
  });
});

test('a registry whose GET does not match the digest it reports is corrupt', async () => {
  registry.fault(({ method }) =>
    method === 'HEAD'
      ? { kind: 'status', status: 405 }
      : { kind: 'headers', headers: { 'docker-content-digest': other } },
  );
  await assert.rejects(resolve(), {
    code: 'corrupt',
    message: `${registry.host}/team/model:v1: ${registry.host} sent ${manifest.digest} as ${other}`,
  });
});

test('an error says that a web page came in place of a manifest', async () => {
  registry.fault(() => ({
    kind: 'headers',
    headers: { 'docker-content-digest': undefined, 'content-type': 'text/html; charset=utf-8' },
  }));
  await assert.rejects(resolve(), {
    code: 'corrupt',
    message: /sent a web page; is a proxy or a login in between\?$/,
  });
});

test('the bytes of a manifest are verified', async () => {
  const bytes = await fetchManifest();
  assert.equal(`sha256:${hash('sha256', bytes)}`, manifest.digest);
});

test('bytes that do not match the digest are corrupt', async () => {
  registry.fault(() => ({ kind: 'wrong-bytes' }));
  await assert.rejects(fetchManifest(), {
    code: 'corrupt',
    message: new RegExp(`: ${registry.host} sent sha256:[0-9a-f]{64} as ${manifest.digest}$`),
  });
});

test('a manifest with too few bytes is corrupt, and the error names both sizes', async () => {
  registry.fault(() => ({ kind: 'chunked', bytes: 10 }));
  await assert.rejects(fetchManifest(), {
    code: 'corrupt',
    message: new RegExp(
      `: ${registry.host} sent 10 bytes, and its descriptor says ${manifest.size}; check their source$`,
    ),
  });
});

test('a manifest with too many bytes is corrupt', async () => {
  registry.fault(() => ({ kind: 'chunked', bytes: manifest.size + 1 }));
  await assert.rejects(fetchManifest(), {
    code: 'corrupt',
    message: new RegExp(
      `: ${registry.host} sent more than the ${manifest.size} bytes of its descriptor; check their source$`,
    ),
  });
});

test('a manifest above 4 MiB is refused before it is requested, or at 4 MiB if its size was unknown', async () => {
  await assert.rejects(fetchManifest({ ...manifest, size: 4 * 1024 * 1024 + 1 }), {
    code: 'unmountable',
    message: /a manifest may have 4 MiB; this one has 4194305 bytes$/,
  });
  assert.deepEqual(methods(), []);
  registry.fault(({ method }) =>
    method === 'HEAD' ? { kind: 'status', status: 405 } : { kind: 'chunked', bytes: 5 * 1024 * 1024 },
  );
  await assert.rejects(resolve(), {
    code: 'unmountable',
    message: /a manifest may have 4 MiB; this one has more$/,
  });
});

test('a cut in a manifest is retried', async () => {
  registry.fault(({ nth }) => (nth === 1 ? { kind: 'cut', after: 10 } : undefined));
  assert.equal((await fetchManifest()).length, manifest.size);
});

test('a tag that does not exist is not found, and the error quotes the registry', async () => {
  registry.fault(({ method }) => (method === 'HEAD' ? { kind: 'status', status: 405 } : undefined));
  await assert.rejects(resolve('v2'), {
    code: 'not-found',
    message: `${registry.host}/team/model:v2 does not exist: ${registry.host} answered 404 (NAME_UNKNOWN: no v2); asked as anonymous (no file); if it is private, give a credential: some registries answer 404 without one`,
  });
});

test('an endless error page is an error and is not read to its end', async () => {
  registry.fault(() => ({ kind: 'status', status: 403, code: 'DENIED', message: 'x'.repeat(70_000) }));
  await assert.rejects(fetchManifest(), {
    code: 'denied',
    message: /: 127\.0\.0\.1:\d+ answered 403; name a pull secret of [^;]*$/,
  });
});

test('a 403 is denied, and the error names the credential', async () => {
  registry.fault(() => ({ kind: 'status', status: 403, code: 'DENIED', message: 'not yours' }));
  await assert.rejects(fetchManifest(), {
    code: 'denied',
    message: `${registry.host}/team/model@${manifest.digest} is refused; asked as anonymous (no file): ${registry.host} answered 403 (DENIED: not yours); name a pull secret of the pod's namespace in volumes[].csi.nodePublishSecretRef, or give the node a credential (--auth-file, --credential-provider-config)`,
  });
});

test('a status that makes no sense is not retried', async () => {
  registry.fault(() => ({ kind: 'status', status: 418 }));
  await assert.rejects(fetchManifest(), {
    code: 'unavailable',
    message:
      /answered 418 .*, which is not an answer of an OCI registry to this request; check host and path of the reference/,
  });
  assert.equal(registry.asked.length, 1);
});

for (const status of [429, 500, 502, 503, 504]) {
  test(`a ${status} is transient`, async () => {
    registry.fault(({ nth }) => (nth < 3 ? { kind: 'status', status } : undefined));
    assert.deepEqual(await resolve(), manifest);
    assert.deepEqual(methods(), ['HEAD', 'GET', 'HEAD', 'GET', 'HEAD']);
  });
}
