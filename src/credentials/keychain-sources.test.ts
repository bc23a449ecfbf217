import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { pod, podsOf } from '../../test/support/node/pods.ts';
import { pluginSource, writeScript } from '../../test/support/os/script.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../test/support/os/temporary.ts';
import type { Credential } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { PodSecrets } from '../ports/kube.ts';
import type { Caller, Keychain } from '../ports/registry.ts';
import { ArtifactError } from '../util/error.ts';
import { type KeychainOptions, type NodeKeychain, openKeychain } from './keychain.ts';
import { openProviders } from './providers.ts';

const never = new AbortController().signal;
const endpoint: Endpoint = { host: 'r.io', path: 'ns/model', insecure: false };
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const configOf = (user: string, key = 'r.io'): string =>
  JSON.stringify({ auths: { [key]: { auth: base64(`${user}:S3CRET`) } } });
const userOf = (credential: Credential): string =>
  credential.kind === 'basic' ? credential.username : credential.kind;

let directory: TemporaryDirectory;
let authFile: string;
let providers: KeychainOptions['providers'];
before(async () => {
  directory = await temporaryDirectory();
  authFile = join(directory.path, 'auth.json');
  await writeFile(authFile, configOf('of-file'));
  const answer = `{ cacheKeyType: 'Image', auth: { 'r.io': { username: 'of-plugin', password: 'S3CRET' } } }`;
  await writeScript(join(directory.path, 'plugin'), pluginSource(join(directory.path, 'log'), answer));
  const config = join(directory.path, 'providers.json');
  providers = means => openProviders({ config, directory: directory.path }, means);
  const provider = {
    name: 'plugin',
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    matchImages: ['*.io'],
    defaultCacheDuration: '1h',
  };
  const document = {
    kind: 'CredentialProviderConfig',
    apiVersion: 'kubelet.config.k8s.io/v1',
    providers: [provider],
  };
  await writeFile(config, JSON.stringify(document));
});
after(() => directory[Symbol.asyncDispose]());

const ofPod = podsOf({ name: 'regcred', data: { '.dockerconfigjson': configOf('of-pod') } });
const find = (keychain: Keychain, caller: Caller): Promise<Credential> =>
  keychain.open(caller).find(endpoint, never);

describe('all sources', () => {
  const call = { '.dockerconfigjson': configOf('of-call') };
  const rows: readonly (readonly [
    user: string,
    holder: string,
    source: RegExp,
    keychain: () => NodeKeychain,
    secrets: Record<string, string>,
  ])[] = [
    [
      'of-call',
      'secret',
      /nodePublishSecretRef/,
      () => openKeychain({ authFile, providers, pods: ofPod }),
      call,
    ],
    [
      'of-pod',
      'pod',
      /^the pull secret shop\/regcred \(r\.io\)$/,
      () => openKeychain({ authFile, providers, pods: ofPod }),
      {},
    ],
    [
      'of-plugin',
      'node',
      /^credential provider plugin \(r\.io\)$/,
      () => openKeychain({ authFile, providers, pods: podsOf() }),
      {},
    ],
    ['of-plugin', 'node', /^credential provider plugin/, () => openKeychain({ authFile, providers }), {}],
    ['of-file', 'node', /^the auth file/, () => openKeychain({ authFile, pods: podsOf() }), {}],
    [
      'anonymous',
      'anyone',
      /^anonymous \(no entry for r\.io in the pod's pull secrets\)$/,
      () => openKeychain({ pods: podsOf() }),
      {},
    ],
  ];
  for (const [user, holder, source, open, secrets] of rows) {
    test(`the first match wins, and its identity is reported: ${user} for ${holder}`, async () => {
      using keychain = open();
      const credential = await find(keychain, { secrets, pod });
      assert.equal(userOf(credential), user);
      assert.equal(credential.holder.kind, holder);
      assert.match(credential.source, source);
    });
  }

  test('are explained in their order, without a secret', async () => {
    using full = openKeychain({ authFile, providers, pods: ofPod });
    assert.deepEqual(await full.explain(endpoint, { secrets: {}, pod }, never), [
      'nodePublishSecretRef: this call has none',
      "the pod's pull secrets: used (the pull secret shop/regcred (r.io))",
      'credential provider plugin: would fit, but comes later (credential provider plugin (r.io))',
      `the auth file ${authFile}: would fit, but comes later (the auth file ${authFile} (r.io))`,
      'anonymous: not needed',
    ]);
    using empty = openKeychain({});
    assert.equal(
      (await empty.explain(endpoint, { secrets: { user: 'u', token: 't' } }, never))[0],
      'nodePublishSecretRef: it has the keys "user", "token"; it needs .dockerconfigjson, .dockercfg, or username and password',
    );
    assert.deepEqual(await empty.explain(endpoint, { secrets: { username: 'u' } }, never), [
      'username and password of nodePublishSecretRef: nodePublishSecretRef has only one of username and password; give it both',
      "the pod's pull secrets: off (--pod-pull-secrets)",
      'credential providers: none (--credential-provider-config)',
      "the node's auth file: none (--auth-file of serve)",
      'anonymous: used',
    ]);
    const elsewhere = { ...endpoint, host: 'other.io', path: 'a' };
    const [line] = await empty.explain(elsewhere, { secrets: { '.dockerconfigjson': configOf('u') } }, never);
    assert.equal(line, '.dockerconfigjson of nodePublishSecretRef: nothing for other.io/a');
  });
});

describe("the pod's pull secrets", () => {
  const over = (pods: PodSecrets, caller: Caller = { secrets: {}, pod }): Promise<Credential> =>
    find(openKeychain({ pods, authFile }), caller);

  test('the most specific key of all of them wins, in both forms', async () => {
    const dockercfg = JSON.stringify({ 'r.io/ns': { auth: base64('narrow:S3CRET') } });
    const pods = podsOf(
      { name: 'wide', data: { '.dockerconfigjson': configOf('wide') } },
      { name: 'narrow', data: { '.dockercfg': dockercfg } },
    );
    assert.equal(userOf(await over(pods)), 'narrow');
  });

  test('a missing one is named if nothing else matches', async () => {
    using keychain = openKeychain({
      pods: podsOf({ name: 'gone' }, { name: 'tls', data: { 'tls.crt': 'x' } }),
    });
    const { source } = await find(keychain, { secrets: {}, pod });
    assert.equal(
      source,
      "anonymous (the pod's pull secrets: not there, or no pull secret: shop/gone, shop/tls)",
    );
  });

  test('a malformed one is refused by name, and not quoted', async () => {
    await assert.rejects(
      over(podsOf({ name: 'bad', data: { '.dockerconfigjson': '{"auths": S3CRET' } })),
      (thrown: unknown) =>
        thrown instanceof ArtifactError &&
        thrown.code === 'invalid' &&
        thrown.message.startsWith('the pull secret shop/bad is not JSON') &&
        !inspect(thrown).includes('S3CRET'),
    );
  });

  test('an API that fails ends the call: the pod does not use another identity', async () => {
    const failing: PodSecrets = {
      ...podsOf(),
      pullSecrets: () => Promise.reject(new ArtifactError('denied', 'this daemon may not get secrets')),
    };
    await assert.rejects(over(failing), { code: 'denied', message: /may not get secrets/ });
    assert.equal(userOf(await over(failing, { secrets: { username: 'u', password: 'p' }, pod })), 'u');
  });

  test('a call without a pod has none', async () => {
    const asking: PodSecrets = { ...podsOf(), pullSecrets: () => Promise.reject(new Error('asked')) };
    assert.equal(userOf(await over(asking, { secrets: {} })), 'of-file');
  });
});

test('a keyring asks its sources for a repository once, for any number of blobs', async () => {
  let asked = 0;
  const pods: PodSecrets = {
    ...podsOf(),
    pullSecrets: async () => {
      asked += 1;
      return [];
    },
  };
  using keychain = openKeychain({ pods });
  const keyring = keychain.open({ secrets: {}, pod });
  await Promise.all(Array.from({ length: 50 }, () => keyring.find(endpoint, never)));
  await keyring.find({ ...endpoint, mirrorOf: 'o.io' }, never);
  assert.equal(asked, 2);
});

test('a daemon that stops is not delayed', async () => {
  const keychain = openKeychain({
    pods: {
      ...podsOf(),
      pullSecrets: (_, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    },
  });
  const finding = find(keychain, { secrets: {}, pod });
  keychain[Symbol.dispose]();
  await assert.rejects(finding, { code: 'unavailable', message: /the daemon is stopping/ });
});
