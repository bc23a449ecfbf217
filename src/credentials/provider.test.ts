import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import { pluginSource, writeScript } from '../../test/support/os/script.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../test/support/os/temporary.ts';
import { problemsOf, valueOf } from '../configfile/watched-file.ts';
import { type Credential, tokensKey } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { PodSecrets } from '../ports/kube.ts';
import type { Caller } from '../ports/registry.ts';
import type { CredentialSource, FoundCredential } from './credential-source.ts';
import { openProvider, type ProviderConfig, type TokenAttributes } from './provider.ts';
import { openProviders } from './providers.ts';

const never = new AbortController().signal;
const password = 'S3CRET-password';
const anyone: Caller = { secrets: {} };
const at = (host: string, path: string): Endpoint => ({ host, path, insecure: false });
const audience = 'sts.test';
const tokens: TokenAttributes = {
  audience,
  cacheType: 'ServiceAccount',
  required: true,
  requiredAnnotations: [],
  optionalAnnotations: [],
};

/** A call for a pod of a service account with this token. */
function podOf(serviceAccount: string, token: string, pod = 'web', namespace = 'shop'): Caller {
  return {
    secrets: {
      [tokensKey]: JSON.stringify({ [audience]: { token, expirationTimestamp: '2030-01-01T00:00:00Z' } }),
    },
    pod: { namespace, name: pod, uid: `uid-${pod}`, serviceAccount },
  };
}

let directory: TemporaryDirectory;
before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

type Plugin = {
  readonly source: CredentialSource;
  /** The requests so far. */
  asked(): readonly { request: Record<string, unknown>; args: string[]; env?: string }[];
};

let count = 0;
/** A provider whose plugin returns what the JavaScript `answer` makes of `request` and `host`. */
async function pluginOf(
  answer: string,
  config: Partial<ProviderConfig> = {},
  pods?: PodSecrets,
): Promise<Plugin> {
  const name = `plugin-${(count += 1)}`;
  const log = join(directory.path, `${name}.log`);
  await writeFile(log, '');
  await writeScript(join(directory.path, name), pluginSource(log, answer));
  const whole: ProviderConfig = {
    name,
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    matchImages: ['*.io', 'docker.io'],
    defaultCacheMs: 60_000,
    args: [],
    environment: {},
    ...config,
  };
  return {
    source: openProvider(whole, directory.path, pods, never),
    asked: () =>
      readFileSync(log, 'utf8')
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line)),
  };
}

const login = (cache: string): string =>
  `{ ${cache}, auth: { [host]: { username: 'robot', password: ${JSON.stringify(password)} } } }`;

function credentialOf(found: FoundCredential): Credential {
  if (found.kind !== 'credential') throw new Error(`nothing was found: ${found.why ?? 'no entry'}`);
  return found.credential;
}
const whyOf = (found: FoundCredential): string =>
  found.kind === 'none' ? (found.why ?? 'no entry') : found.kind;

describe('a credential provider plugin', () => {
  test('is run by exec as by kubelet, and its answer is a credential of the node', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Image'`), {
      args: ['--region', 'eu west'],
      environment: { PLUGIN_TEST: 'on' },
    });
    assert.deepEqual(credentialOf(await source.find(at('r.io', 'team/model'), anyone, never)), {
      kind: 'basic',
      holder: { kind: 'node' },
      source: `${source.name} (r.io)`,
      username: 'robot',
      password,
    });
    assert.deepEqual(asked(), [
      {
        request: {
          kind: 'CredentialProviderRequest',
          apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
          image: 'r.io/team/model',
        },
        args: ['--region', 'eu west'],
        env: 'on',
      },
    ]);
  });

  test('is not run for images that do not match matchImages', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Image'`), { matchImages: ['r.io/team'] });
    assert.equal(whyOf(await source.find(at('other.io', 'team/model'), anyone, never)), 'no entry');
    assert.equal(whyOf(await source.find(at('r.io', 'other'), anyone, never)), 'no entry');
    assert.deepEqual(asked(), []);
  });

  test('receives the name that kubelet uses for Docker Hub', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Image'`));
    credentialOf(await source.find(at('registry-1.docker.io', 'library/x'), anyone, never));
    assert.equal(asked()[0]?.request['image'], 'docker.io/library/x');
  });

  test('gives no credential to a host that its answer does not name', async () => {
    const { source } = await pluginOf(
      `{ cacheKeyType: 'Global', auth: { 'r.io': { username: 'u', password: 'p' } } }`,
    );
    credentialOf(await source.find(at('r.io', 'a'), anyone, never));
    assert.equal(whyOf(await source.find(at('evil.io', 'a'), anyone, never)), 'no entry');
  });

  test('the most specific key of its answer wins', async () => {
    const { source } = await pluginOf(
      `{ cacheKeyType: 'Image', auth: { '*.io': { username: 'glob', password: 'p' }, 'r.io/a': { username: 'path', password: 'p' }, 'r.io': { username: 'host', password: 'p' } } }`,
    );
    const found = credentialOf(await source.find(at('r.io', 'a/b'), anyone, never));
    assert.equal(found.kind === 'basic' && found.username, 'path');
  });

  for (const [cache, questions] of [
    [`cacheKeyType: 'Image'`, ['r.io/a', 'r.io/b', 'o.io/a']],
    [`cacheKeyType: 'Registry'`, ['r.io/a', 'o.io/a']],
    [`cacheKeyType: 'Global'`, ['r.io/a']],
    [`cacheKeyType: 'Registry', cacheDuration: '0s'`, ['r.io/a', 'r.io/a', 'r.io/b', 'o.io/a', 'r.io/a']],
    [`cacheKeyType: 'Registry', cacheDuration: '1h'`, ['r.io/a', 'o.io/a']],
  ] as const) {
    test(`with ${cache}, is run again only for ${questions.join(', ')}`, async () => {
      const { source, asked } = await pluginOf(login(cache));
      for (const [host, path] of [
        ['r.io', 'a'],
        ['r.io', 'a'],
        ['r.io', 'b'],
        ['o.io', 'a'],
        ['r.io', 'a'],
      ] as const) {
        await source.find(at(host, path), anyone, never);
      }
      assert.deepEqual(
        asked().map(({ request }) => request['image']),
        questions,
      );
    });
  }

  test('without cacheDuration, the default of its configuration applies', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Global'`), { defaultCacheMs: 0 });
    await source.find(at('r.io', 'a'), anyone, never);
    await source.find(at('r.io', 'a'), anyone, never);
    assert.equal(asked().length, 2);
  });

  test('is run once for concurrent equal requests', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Image', cacheDuration: '0s'`));
    const all = await Promise.all(
      Array.from({ length: 20 }, () => source.find(at('r.io', 'a'), anyone, never)),
    );
    assert.ok(all.every(found => found.kind === 'credential'));
    assert.equal(asked().length, 1);
  });

  test('has at most eight processes, whatever images a user invents', async () => {
    const running = join(directory.path, 'running');
    const seen = join(directory.path, 'seen');
    await mkdir(running, { recursive: true });
    const answer = JSON.stringify({
      kind: 'CredentialProviderResponse',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      cacheKeyType: 'Image',
      auth: { 'r.io': { username: 'u', password: 'p' } },
    });
    const program = join(directory.path, 'counting');
    const script = `#!/bin/sh\nmkdir ${running}/$$\nls ${running} | wc -l >>${seen}\nsleep 0.3\nrmdir ${running}/$$\necho '${answer}'\n`;
    await writeFile(`${program}.new`, script, { mode: 0o755 });
    await rename(`${program}.new`, program);
    const source = openProvider(
      {
        name: 'counting',
        apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
        matchImages: ['r.io'],
        defaultCacheMs: 0,
        args: [],
        environment: {},
      },
      directory.path,
      undefined,
      never,
    );
    const all = Array.from({ length: 20 }, (_, nth) =>
      source.find(at('r.io', `made-up-${nth}`), anyone, never),
    );
    for (const found of await Promise.all(all)) credentialOf(found);
    const counts = readFileSync(seen, 'utf8').trim().split('\n').map(Number);
    assert.equal(counts.length, 20);
    assert.ok(Math.max(...counts) <= 8, `${Math.max(...counts)} at once`);
  });

  test('is not run by callers that waited for an answer that covers theirs', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Registry'`));
    const all = Array.from({ length: 20 }, (_, nth) => source.find(at('r.io', `a${nth}`), anyone, never));
    for (const found of await Promise.all(all)) credentialOf(found);
    assert.ok(asked().length <= 8, `${asked().length}`);
  });

  test('that fails is skipped, with a reason that quotes none of its output', async () => {
    const rows: readonly (readonly [answer: string, why: RegExp])[] = [
      [`process.stdout.write('S3CRET')`, /its answer is not a JSON object/],
      [`process.exit(3)`, /it ended with exit code 3; run it by hand/],
      [`(() => { console.error('S3CRET'); throw new Error('S3CRET') })()`, /exit code 1/],
      [`{ apiVersion: 'S3CRET', cacheKeyType: 'Image' }`, /its answer is not of apiVersion/],
      [`{ cacheKeyType: 'S3CRET' }`, /no cacheKeyType/],
      [`{ cacheKeyType: 'Image', auth: { 'r.io': 'S3CRET' } }`, /its entry for r\.io is not a JSON object/],
      [`{ cacheKeyType: 'Image', auth: { 'r.io': { username: 'u', password: 'S3CRET\\n' } } }`, /line break/],
    ];
    for (const [answer, why] of rows) {
      const { source } = await pluginOf(answer);
      const found = await source.find(at('r.io', 'a'), anyone, never);
      assert.match(whyOf(found), why);
      assert.ok(!inspect(found).includes('S3CRET'), inspect(found));
    }
  });

  test('an aborted caller gets its own reason, and the next one the answer', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Image'`));
    const leaving = new AbortController();
    const left = source.find(at('r.io', 'a'), anyone, leaving.signal);
    leaving.abort(new Error('gone'));
    await assert.rejects(left, /^Error: gone$/);
    credentialOf(await source.find(at('r.io', 'a'), anyone, never));
    assert.equal(asked().length, 1);
  });
});

describe('a provider for service accounts', () => {
  test('receives the token of the pod for its audience, and answers for that service account', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Image'`), { tokenAttributes: tokens });
    const found = credentialOf(await source.find(at('r.io', 'a'), podOf('builder', 'S3CRET-token'), never));
    assert.deepEqual(found.holder, { kind: 'service-account', namespace: 'shop', name: 'builder' });
    assert.equal(asked()[0]?.request['serviceAccountToken'], 'S3CRET-token');
    assert.equal('serviceAccountAnnotations' in (asked()[0]?.request ?? {}), false);
  });

  test('an answer for one service account is never used for another', async () => {
    const { source, asked } = await pluginOf(
      `{ cacheKeyType: 'Global', auth: { '*.io': { username: request.serviceAccountToken, password: 'p' } } }`,
      { tokenAttributes: tokens },
    );
    const userOf = async (caller: Caller): Promise<string | undefined> => {
      const found = credentialOf(await source.find(at('r.io', 'a'), caller, never));
      return found.kind === 'basic' ? found.username : undefined;
    };
    assert.equal(await userOf(podOf('a', 'of-a')), 'of-a');
    assert.equal(await userOf(podOf('b', 'of-b')), 'of-b');
    assert.equal(await userOf(podOf('b', 'of-other', 'web', 'other')), 'of-other');
    assert.equal(await userOf(podOf('a', 'newer of-a', 'web-2')), 'of-a', 'the same service account');
    assert.equal(asked().length, 3);
  });

  test('with cacheType Token, an answer is for that token alone', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Global'`), {
      tokenAttributes: { ...tokens, cacheType: 'Token' },
    });
    for (const token of ['one', 'one', 'two', 'one'])
      await source.find(at('r.io', 'a'), podOf('a', token), never);
    assert.deepEqual(
      asked().map(({ request }) => request['serviceAccountToken']),
      ['one', 'two'],
    );
  });

  test('reports what to do if kubelet brings no token for the audience', async () => {
    const { source, asked } = await pluginOf(login(`cacheKeyType: 'Image'`), { tokenAttributes: tokens });
    const advice = /add \{audience: "sts\.test"\} to spec\.tokenRequests of the CSIDriver object$/;
    const bare = podOf('a', '');
    for (const text of [
      undefined,
      'S3CRET',
      '{}',
      '[]',
      'null',
      JSON.stringify({ other: { token: 'S3CRET' } }),
      JSON.stringify({ [audience]: { token: 7 } }),
      JSON.stringify({ [audience]: 'S3CRET' }),
    ]) {
      const caller: Caller = { ...bare, secrets: text === undefined ? {} : { [tokensKey]: text } };
      const found = await source.find(at('r.io', 'a'), caller, never);
      assert.match(whyOf(found), advice);
      assert.ok(!whyOf(found).includes('S3CRET'));
    }
    assert.deepEqual(asked(), []);
  });

  test('skips a call without a service account, unless it needs none', async () => {
    const needing = await pluginOf(login(`cacheKeyType: 'Image'`), { tokenAttributes: tokens });
    assert.match(whyOf(await needing.source.find(at('r.io', 'a'), anyone, never)), /service accounts alone/);
    const open = await pluginOf(login(`cacheKeyType: 'Image'`), {
      tokenAttributes: { ...tokens, required: false },
    });
    const found = credentialOf(await open.source.find(at('r.io', 'a'), anyone, never));
    assert.deepEqual(found.holder, { kind: 'node' });
    assert.equal('serviceAccountToken' in (open.asked()[0]?.request ?? {}), false);
  });

  test('receives the annotations that it names, and is not run if a required one is missing', async () => {
    const annotations: Record<string, string> = { 'a.io/role': 'reader', other: 'x' };
    const pods: PodSecrets = { pullSecrets: async () => [], annotations: async () => annotations };
    const attributes = {
      ...tokens,
      requiredAnnotations: ['a.io/role'],
      optionalAnnotations: ['a.io/tenant'],
    };
    const { source, asked } = await pluginOf(
      login(`cacheKeyType: 'Global'`),
      { tokenAttributes: attributes },
      pods,
    );
    credentialOf(await source.find(at('r.io', 'a'), podOf('a', 't'), never));
    assert.deepEqual(asked()[0]?.request['serviceAccountAnnotations'], { 'a.io/role': 'reader' });
    annotations['a.io/role'] = 'writer';
    credentialOf(await source.find(at('r.io', 'a'), podOf('a', 't'), never));
    assert.equal(asked().length, 2, 'other annotations are another question');
    delete annotations['a.io/role'];
    assert.match(
      whyOf(await source.find(at('r.io', 'a'), podOf('a', 't'), never)),
      /the service account shop\/a has no annotation a\.io\/role/,
    );
  });
});

describe('the configuration of providers', () => {
  const entry = (name: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
    name,
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    matchImages: ['*.io'],
    defaultCacheDuration: '1h',
    ...more,
  });
  const document = (...providers: unknown[]): string =>
    JSON.stringify({ apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers });
  const notes: string[] = [];
  const open = (config: string, pods?: PodSecrets) =>
    openProviders(
      { config, directory: directory.path },
      { pods, note: text => void notes.push(text), closing: never },
    );
  const read = (config: string, pods?: PodSecrets): readonly CredentialSource[] =>
    valueOf(open(config, pods)());
  const pods: PodSecrets = { pullSecrets: async () => [], annotations: async () => ({}) };

  before(async () => {
    for (const name of ['one', 'two', 'three']) await writeScript(join(directory.path, name), '');
  });

  test('of a directory is read in the order of its file names, and other files are ignored', async () => {
    const config = join(directory.path, 'directory');
    await mkdir(config);
    assert.throws(() => read(config), {
      code: 'unavailable',
      message: /has no \*\.json, \*\.yaml or \*\.yml/,
    });
    await writeFile(join(config, 'b.json'), document(entry('two')));
    await writeFile(join(config, 'a.yaml'), document(entry('three'), entry('one')));
    await writeFile(join(config, 'c.txt'), 'no');
    const names = read(config).map(({ name }) => name);
    assert.deepEqual(
      names,
      ['three', 'one', 'two'].map(name => `credential provider ${name}`),
    );
    await writeFile(join(config, 'd.yml'), document(entry('one')));
    assert.throws(() => read(config), {
      code: 'unavailable',
      message: /has the credential provider one twice/,
    });
  });

  test('a missing file and a program that cannot be run are named', async () => {
    const config = join(directory.path, 'config.yaml');
    assert.throws(() => read(config), {
      code: 'unavailable',
      message: /config\.yaml does not exist; correct --credential-provider-config/,
    });
    await writeFile(config, document(entry('absent')));
    assert.throws(() => read(config), {
      code: 'unavailable',
      message: /absent cannot be run: .*correct --credential-provider-bin-dir/,
    });
    await chmod(join(directory.path, 'two'), 0o644);
    await writeFile(config, document(entry('two')));
    assert.throws(() => read(config), {
      code: 'unavailable',
      message: /two cannot be run: it does not exist or is not executable/,
    });
    await chmod(join(directory.path, 'two'), 0o755);
  });

  test('annotations need the Kubernetes API, and are refused by name without it', async () => {
    const config = join(directory.path, 'annotations.json');
    for (const field of ['requiredServiceAccountAnnotationKeys', 'optionalServiceAccountAnnotationKeys']) {
      const tokenAttributes = {
        serviceAccountTokenAudience: audience,
        cacheType: 'Token',
        requireServiceAccount: true,
        [field]: ['a.io/role'],
      };
      await writeFile(config, document(entry('one', { tokenAttributes })));
      assert.throws(() => read(config), {
        code: 'unavailable',
        message: new RegExp(`^the credential provider one has ${field}.*set --pod-pull-secrets`),
      });
      assert.equal(read(config, pods).length, 1);
    }
  });

  test('is read again when it changes; a broken one leaves the last good one in use, and is reported once', async () => {
    const config = join(directory.path, 'live.json');
    await writeFile(config, document(entry('one')));
    const live = open(config);
    const first = valueOf(live());
    assert.equal(valueOf(live()), first);
    await writeFile(config, `${document(entry('one'))}x`);
    notes.length = 0;
    assert.equal(valueOf(live()), first);
    assert.equal(valueOf(live()), first);
    assert.match(
      problemsOf(live()).join(),
      /live\.json:1: it is neither YAML nor JSON; until the file is corrected, its last valid version stays in use/,
    );
    assert.deepEqual(notes, problemsOf(live()));
    await writeFile(config, document(entry('two'), entry('one')));
    assert.equal(valueOf(live()).length, 2);
    assert.deepEqual(problemsOf(live()), []);
  });
});
