import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openConfigurationDirectory } from '../../../test/support/node/configuration-directory.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { makeCertificate } from '../../../test/support/signing/certificate.ts';
import { startReading } from '../../configfile/watched-file.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { readConfiguration } from './configuration.ts';
import { toRoute } from './route.ts';

const { signal } = new AbortController();
const path = 'team/model';
const server = makeCertificate();
const client = makeCertificate('DNS:client.test');
const stranger = makeCertificate('DNS:stranger.test');
let registry: FaultyRegistry;
let elsewhere: FaultyRegistry;
let layers: readonly Descriptor[];

before(async () => {
  const tls = { ...server, ca: client.cert, requestCert: true };
  registry = await openFaultyRegistry({ tls: { ...tls, rejectUnauthorized: true } });
  elsewhere = await openFaultyRegistry({ tls: { ...tls, rejectUnauthorized: true } });
  for (const each of [registry, elsewhere]) {
    const sources = [{ bytes: Buffer.alloc(1000, 's') }, { bytes: Buffer.alloc(5 * 1024 * 1024, 'l') }];
    layers = (await each.push(path, 'v1', sources)).layers;
  }
});
after(async () => {
  await registry[Symbol.asyncDispose]();
  await elsewhere[Symbol.asyncDispose]();
});

/** Pulls a small and a large blob with these files. `HOST` in a name stands for the registry. */
async function pull(files: Readonly<Record<string, string>>): Promise<void> {
  const named = Object.entries(files).map(([name, text]) => [name.replace('HOST', registry.host), text]);
  await using directory = await openConfigurationDirectory(Object.fromEntries(named));
  const configuration = readConfiguration(directory.files, startReading());
  await using opened = openTestClient({
    route: (reference, question) => toRoute(configuration, reference, question),
  });
  for (const layer of layers) {
    const sink = openMemorySink();
    await opened.blob({ registry: registry.host, path }, layer, sink, anonymous, signal);
    assert.equal(sink.digest(), layer.digest);
  }
}

const pair = (name: string, { cert, key } = client) => ({ [`${name}.cert`]: cert, [`${name}.key`]: key });

const ways: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['a certs.d', { 'certs/HOST/ca.crt': server.cert, ...pair('certs/HOST/client') }],
  [
    'a hosts directory without hosts.toml',
    { 'hosts/HOST/any.crt': server.cert, ...pair('hosts/HOST/client') },
  ],
  [
    'a hosts.toml',
    {
      'hosts/HOST/hosts.toml': 'ca = "ca.pem"\nclient = [["tls.cert", "tls.key"]]',
      'hosts/HOST/ca.pem': server.cert,
      ...pair('hosts/HOST/tls'),
    },
  ],
  [
    'a hosts.toml with both in one file, and a CA in certs.d',
    {
      'hosts/HOST/hosts.toml': 'client = "both.pem"',
      'hosts/HOST/both.pem': `${client.key}${client.cert}`,
      'certs/HOST/ca.crt': server.cert,
    },
  ],
  [
    'skip_verify of a hosts.toml, and a client certificate in certs.d',
    { 'hosts/HOST/hosts.toml': 'skip_verify = true', ...pair('certs/HOST/client') },
  ],
  [
    'insecure of registries.conf, and a client certificate in certs.d',
    {
      'registries.conf': '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true',
      ...pair('certs/HOST/client'),
    },
  ],
];
for (const [what, files] of ways) {
  test(`a registry with its own CA that requires a client certificate is pulled from by ${what}`, async () => {
    await pull(files);
  });
}

test('without the CA the pull fails', async () => {
  await assert.rejects(pull(pair('certs/HOST/client')), {
    code: 'unavailable',
    message: /^the certificate of 127\.0\.0\.1:\d+ cannot be verified/,
  });
});

test('without a certificate, or with another one, the pull fails', async () => {
  const ca = { 'certs/HOST/ca.crt': server.cert };
  await assert.rejects(pull(ca), { code: 'unavailable' });
  await assert.rejects(pull({ ...ca, ...pair('certs/HOST/client', stranger) }), { code: 'unavailable' });
});

test('an error reports what is wrong with the client certificate', async () => {
  const tls = { ...server, ca: client.cert, requestCert: true, rejectUnauthorized: true };
  // With TLS 1.3, Node's server closes the connection; others report the reason.
  await using wanting = await openFaultyRegistry({ tls: { ...tls, maxVersion: 'TLSv1.2' } });
  const files = { [`certs/${wanting.host}/ca.crt`]: server.cert };
  await using directory = await openConfigurationDirectory(files);
  const configuration = readConfiguration(directory.files, startReading());
  await using opened = openTestClient({
    route: (reference, question) => toRoute(configuration, reference, question),
  });
  await assert.rejects(opened.resolve({ registry: wanting.host, path, tag: 'v1' }, anonymous, signal), {
    code: 'unavailable',
    message:
      /^127\.0\.0\.1:\d+ does not let this node in \(ERR_SSL_.*\); it may want a client certificate, which --certs-dir can give it$/,
  });
});

test('certificates of another host or port are not used', async () => {
  const files = { 'certs/127.0.0.1/ca.crt': server.cert, ...pair('certs/127.0.0.1/client') };
  await assert.rejects(pull(files), { code: 'unavailable', message: /cannot be verified/ });
});

test('a redirect target is trusted by its CA but receives no client certificate', async () => {
  const files = { 'certs/HOST/ca.crt': server.cert, ...pair('certs/HOST/client') };
  await using open = await openFaultyRegistry({ tls: server });
  await open.push(path, 'v1', [
    { bytes: Buffer.alloc(1000, 's') },
    { bytes: Buffer.alloc(5 * 1024 * 1024, 'l') },
  ]);
  registry.fault(({ path: asked }) => ({ kind: 'redirect', to: `https://${open.host}${asked}` }));
  await pull(files);
  registry.fault(({ path: asked }) => ({ kind: 'redirect', to: `https://${elsewhere.host}${asked}` }));
  await assert.rejects(pull(files), { code: 'unavailable' });
  assert.equal(elsewhere.asked.length, 0);
  registry.reset();
});
