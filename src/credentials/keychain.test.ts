import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { rewrite } from '../../test/support/os/rewrite.ts';
import type { Credential } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Keychain } from '../ports/registry.ts';
import { ArtifactError } from '../util/error.ts';
import { openKeychain } from './keychain.ts';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'keychain-'));
});
after(() => rm(root, { recursive: true }));

const endpoint: Endpoint = { host: 'r.io', path: 'ns/model', insecure: false };
const never = new AbortController().signal;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const auths = (user: string, key = 'r.io'): string =>
  JSON.stringify({ auths: { [key]: { auth: base64(`${user}:pw`) } } });
const keychainOf = (authFile?: string): Keychain => openKeychain({ authFile });

/** The credential of a call with these secrets for an upstream. */
const find = (
  keychain: Keychain,
  secrets: Readonly<Record<string, string>>,
  at: Endpoint = endpoint,
  signal = never,
): Promise<Credential> => keychain.open({ secrets }).find(at, signal);

let count = 0;
async function fileOf(text: string): Promise<string> {
  const path = join(root, `auth-${(count += 1)}.json`);
  await writeFile(path, text);
  return path;
}

function nameOf(credential: Credential): string {
  return credential.kind === 'basic' ? credential.username : credential.kind;
}

describe('the order of the sources', () => {
  const secrets: Readonly<Record<string, string>> = {
    '.dockerconfigjson': auths('json'),
    '.dockercfg': JSON.stringify({ 'r.io': { auth: base64('cfg:pw') } }),
    username: 'keys',
    password: 'pw',
    'csi.storage.k8s.io/serviceAccount.tokens': '{}',
  };
  const order: readonly (readonly [gone: readonly string[], user: string, source: RegExp])[] = [
    [[], 'json', /^\.dockerconfigjson of nodePublishSecretRef \(r\.io\)$/],
    [['.dockerconfigjson'], 'cfg', /^\.dockercfg of nodePublishSecretRef \(r\.io\)$/],
    [['.dockerconfigjson', '.dockercfg'], 'keys', /^username and password of nodePublishSecretRef$/],
    [
      ['.dockerconfigjson', '.dockercfg', 'username', 'password'],
      'file',
      /^the auth file \/.*\.json \(r\.io\)$/,
    ],
  ];
  for (const [gone, user, source] of order) {
    test(`${user} is found and reported with its source`, async () => {
      const left = Object.fromEntries(Object.entries(secrets).filter(([key]) => !gone.includes(key)));
      const credential = await find(keychainOf(await fileOf(auths('file'))), left);
      assert.equal(nameOf(credential), user);
      assert.match(credential.source, source);
    });
  }

  test('a mirror receives what is for its host, and never what names no host', async () => {
    const mirror: Endpoint = { host: 'm.io', path: 'ns/model', insecure: false, mirrorOf: 'r.io' };
    const bare = { username: 'keys', password: 'pw' };
    assert.equal((await find(keychainOf(), bare, mirror)).kind, 'anonymous');
    assert.equal((await find(keychainOf(), secrets, mirror)).kind, 'anonymous');
    assert.equal(
      nameOf(await find(keychainOf(await fileOf(auths('mirror', 'm.io'))), bare, mirror)),
      'mirror',
    );
  });

  test('a login that names no host is for the one registry of a name, and for none of several', async () => {
    const bare = { username: 'keys', password: 'pw' };
    const at = (...registries: string[]) => registries.map(registry => ({ registry, path: 'm', tag: 'v1' }));
    const open = (candidates: ReturnType<typeof at>, secrets: Readonly<Record<string, string>> = bare) =>
      keychainOf().open({ secrets, candidates });
    const refused = await open(at('a.io', 'r.io')).find(endpoint, never);
    assert.deepEqual(
      [refused.kind, refused.source],
      [
        'anonymous',
        'anonymous (username and password of nodePublishSecretRef: they name no host, and the short name may stand for a.io/m:v1 or r.io/m:v1; write one of them)',
      ],
    );
    for (const candidates of [at('r.io'), at('r.io', 'r.io')])
      assert.equal(nameOf(await open(candidates).find(endpoint, never)), 'keys');
    const named = { ...bare, '.dockerconfigjson': auths('json') };
    assert.equal(nameOf(await open(at('a.io', 'r.io'), named).find(endpoint, never)), 'json');
    const [line] = await keychainOf().explain(
      endpoint,
      { secrets: bare, candidates: at('a.io', 'r.io') },
      never,
    );
    assert.match(
      line ?? '',
      /^username and password of nodePublishSecretRef: they name no host, and the short/,
    );
  });

  test('without an entry for the registry, the next source is used', async () => {
    const other = {
      '.dockerconfigjson': auths('json', 'other.io'),
      '.dockercfg': '{}',
      username: '',
      password: '',
    };
    const credential = await find(keychainOf(await fileOf(auths('file'))), other);
    assert.equal(nameOf(credential), 'file');
  });

  test('without any match, the request is anonymous, and the sources are reported', async () => {
    const path = await fileOf('{}');
    const { kind, source } = await find(keychainOf(path), { '.dockercfg': '{}' });
    assert.equal(kind, 'anonymous');
    assert.equal(
      source,
      `anonymous (no entry for r.io in .dockercfg of nodePublishSecretRef, the auth file ${path})`,
    );
    assert.deepEqual(await find(keychainOf(), {}), {
      kind: 'anonymous',
      holder: { kind: 'anyone' },
      source: 'anonymous',
    });
  });
});

describe('a credential goes to the upstream that is asked', () => {
  const moved = openKeychain({ authFile: undefined });
  test('one for the reference’s host is not sent to another host', async () => {
    const credential = await find(
      moved,
      { '.dockerconfigjson': auths('written') },
      { host: 'm.io', path: 'r', insecure: false },
    );
    assert.equal(credential.kind, 'anonymous');
    assert.match(credential.source, /no entry for m\.io/);
  });
  test('one for the upstream is found', async () => {
    assert.equal(
      nameOf(
        await find(
          moved,
          { '.dockerconfigjson': auths('there', 'm.io/r') },
          { host: 'm.io', path: 'r', insecure: false },
        ),
      ),
      'there',
    );
  });
  test('Docker Hub is found by its older key', async () => {
    const hub = openKeychain({ authFile: undefined });
    const secrets = { '.dockerconfigjson': auths('hub', 'https://index.docker.io/v1/') };
    assert.equal(
      nameOf(await find(hub, secrets, { host: 'registry-1.docker.io', path: 'library/x', insecure: false })),
      'hub',
    );
  });
});

describe('the auth file', () => {
  test('is not read if a secret of the call matches', async () => {
    const keychain = keychainOf(join(root, 'absent.json'));
    assert.equal(nameOf(await find(keychain, { '.dockerconfigjson': auths('json') })), 'json');
  });

  test('a missing one is an error that names it, when it is needed and when problems are requested', async () => {
    const path = join(root, 'absent.json');
    const keychain = openKeychain({ authFile: path });
    const refused = {
      code: 'unavailable',
      message: new RegExp(`${path} does not exist; correct --auth-file`),
    };
    await assert.rejects(find(keychain, {}), refused);
    assert.match(
      keychain.obstacles().join(),
      new RegExp(
        `${path} does not exist; correct --auth-file; until the file is corrected, what needs it is refused$`,
      ),
    );
    assert.deepEqual(openKeychain({ authFile: undefined }).problems(), []);
  });

  test('a malformed one is an error that names it and quotes nothing', async () => {
    const path = await fileOf('{"auths": S3CRET');
    const keychain = openKeychain({ authFile: path });
    await assert.rejects(find(keychain, {}), {
      code: 'unavailable',
      message: new RegExp(`${path} is not JSON(?!.*S3CRET)`),
    });
    assert.equal(keychain.obstacles().length, 1);
    assert.match(keychain.problems().join(), new RegExp(`${path} is not JSON(?!.*S3CRET)`));
  });

  test('broken at the start it is reported once, and forgotten when it is right; broken later the last good one stays', async () => {
    const path = await fileOf('{');
    const told: string[] = [];
    const keychain = openKeychain({ authFile: path, note: text => told.push(text) });
    assert.deepEqual(told, keychain.obstacles());
    assert.equal(told.length, 1);
    await writeFile(path, auths('one'));
    assert.deepEqual([...keychain.problems(), ...keychain.obstacles()], []);
    await writeFile(path, '{');
    assert.equal(nameOf(await find(keychain, {})), 'one');
    assert.equal(keychain.problems().length, 1);
    assert.deepEqual(keychain.obstacles(), []);
  });

  test('is read again when it was replaced or written, and not otherwise', async () => {
    const path = await fileOf(auths('one'));
    const keychain = keychainOf(path);
    const found = async (): Promise<string> => nameOf(await find(keychain, {}));
    assert.equal(await found(), 'one');
    await rewrite(path, auths('two'));
    assert.equal(await found(), 'two');
    await writeFile(path, auths('three'));
    assert.equal(await found(), 'three');
    await rename(await fileOf(auths('again')), path);
    assert.equal(await found(), 'again');
  });

  test('an aborted caller gets its own reason', async () => {
    const keychain = keychainOf(await fileOf('{}'));
    await assert.rejects(find(keychain, {}, endpoint, AbortSignal.abort(new Error('gone'))), /^Error: gone$/);
  });
});

describe('a malformed secret is refused by the name of its key', () => {
  const rows: readonly (readonly [secrets: Readonly<Record<string, string>>, message: RegExp])[] = [
    [{ '.dockerconfigjson': 'S3CRET' }, /^\.dockerconfigjson of nodePublishSecretRef is not JSON/],
    [
      { '.dockercfg': '["S3CRET"]' },
      /^\.dockercfg of nodePublishSecretRef cannot be used: it is not a JSON object/,
    ],
    [
      { '.dockercfg': '{"r.io": {"auth": "S3CRET"}}' },
      /^\.dockercfg of .* entry for r\.io "auth" is not base64/,
    ],
    [{ username: 'S3CRET' }, /has only one of username and password/],
    [{ password: 'S3CRET' }, /has only one of username and password/],
    [{ username: 'u', password: 'S3CRET\n' }, /^username and password of .* line break/],
    [{ username: 'u:S3CRET', password: 'p' }, /colon/],
  ];
  for (const [secrets, message] of rows) {
    test(message.source, async () => {
      await assert.rejects(
        find(keychainOf(), secrets),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'invalid' &&
          message.test(thrown.message) &&
          !inspect(thrown).includes('S3CRET'),
      );
    });
  }
});

test('for any secrets and auth file, only an ArtifactError is thrown, and never with a secret in it', async () => {
  const secret = 'S3CRET';
  const encoded = [
    secret,
    base64(secret),
    base64(`u:${secret}`),
    base64(`u:${secret}\n`),
    `u:${secret}`,
    `${secret}\0`,
  ];
  const scrap = fc.oneof(
    fc.constantFrom(...encoded),
    fc.string().map(text => secret + text),
  );
  const value = fc.oneof(scrap, fc.constantFrom(null, 1, [secret], { [secret]: secret }));
  const entry = fc.oneof(
    value,
    fc.dictionary(fc.constantFrom('auth', 'username', 'password', 'identitytoken', secret), value),
  );
  const entries = fc.dictionary(
    fc.constantFrom('r.io', 'r.io/ns', '*.io', 'https://r.io/v2/', secret, `u:${secret}@r.io`),
    entry,
  );
  const program = fc.oneof(fc.constantFrom('absent-one', 'absent/one', 7), entries);
  const config = fc.record(
    {
      auths: fc.oneof(entries, value),
      credHelpers: fc.dictionary(fc.constantFrom('r.io', secret), program),
      credsStore: program,
    },
    { requiredKeys: [] },
  );
  const text = fc.oneof(
    fc.oneof(config, entries).map(made => JSON.stringify(made)),
    fc.tuple(config, fc.nat(80)).map(([made, length]) => JSON.stringify(made).slice(0, length)),
    scrap,
  );
  const secrets = fc.record(
    { '.dockerconfigjson': text, '.dockercfg': text, username: scrap, password: scrap },
    { requiredKeys: [], noNullPrototype: true },
  );
  const leaks = (shown: string): boolean =>
    [secret, base64(secret).slice(0, 8), base64(`u:${secret}`).slice(0, 8)].some(part =>
      shown.includes(part),
    );
  const path = await fileOf('{}');
  const keychain = keychainOf(path);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(secrets, text, async (given, inFile) => {
      await writeFile(path, inFile);
      try {
        const credential = await find(keychain, given);
        assert.ok(!leaks(credential.source), credential.source);
      } catch (thrown) {
        refused += 1;
        assert.ok(thrown instanceof ArtifactError, inspect(thrown));
        assert.ok(!leaks(inspect(thrown, { depth: 10 })), inspect(thrown));
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(refused > 50, `only ${refused} were refused`);
});
