import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { cpuTime } from '../../test/support/os/cpu-time.ts';
import { ArtifactError } from '../util/error.ts';
import {
  type CredentialCandidate,
  type CredentialOrigin,
  candidates,
  parseDockerConfig,
  toBasic,
} from './docker-config.ts';

const holder = { kind: 'secret' } as const;
const origin: CredentialOrigin = { name: 'the test', holder, code: 'invalid' };
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const entry = (user: string) => ({ auth: base64(`${user}:pw`) });

type Found = CredentialCandidate | { readonly kind: 'none' };

function findAll(
  config: unknown,
  host: string,
  path: string,
  form: 'auths' | 'dockercfg' = 'auths',
): readonly CredentialCandidate[] {
  return [...candidates([parseDockerConfig(JSON.stringify(config), form, origin)], { host, path })];
}

function find(...args: Parameters<typeof findAll>): Found {
  return findAll(...args)[0] ?? { kind: 'none' };
}

/** The username found, or the kind of result. */
function userOf(found: Found): string {
  return found.kind === 'credential' && found.credential.kind === 'basic'
    ? found.credential.username
    : found.kind;
}

describe('the most specific key wins', () => {
  const keys = [
    'r.io',
    'r.io/ns',
    'r.io/ns/repo',
    '*.io',
    '*.io/ns',
    'https://r.io/v2/',
    'other.io/ns/repo',
    'r.io:443',
  ];
  const auths = Object.fromEntries(keys.map(key => [key, entry(key.replace(/:/g, ';'))]));
  const order = [
    'r.io/ns/repo',
    'r.io/ns',
    '*.io/ns',
    'r.io',
    'https;//r.io/v2/',
    'r.io;443',
    '*.io',
    'none',
  ];
  for (const [index, expected] of order.entries()) {
    test(`${expected}, if nothing before it exists`, () => {
      const gone = order.slice(0, index).map(key => key.replace(/;/g, ':'));
      const left = Object.fromEntries(Object.entries(auths).filter(([key]) => !gone.includes(key)));
      assert.equal(userOf(find({ auths: left }, 'r.io', 'ns/repo')), expected);
    });
  }

  test('the order in the file does not matter', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(keys, { minLength: keys.length }), shuffled => {
        const some = Object.fromEntries(shuffled.map(key => [key, auths[key]]));
        assert.equal(userOf(find({ auths: some }, 'r.io', 'ns/repo')), 'r.io/ns/repo');
      }),
    );
  });
});

describe('which key applies to which repository', () => {
  const rows: readonly (readonly [key: string, host: string, path: string, fits: boolean])[] = [
    ['r.io', 'r.io', 'x', true],
    ['r.io', 'r.io:5000', 'x', false],
    ['r.io:5000', 'r.io:5000', 'x', true],
    ['r.io:5000/ns', 'r.io:5000', 'ns/x', true],
    ['r.io', 'r.io.evil.example', 'x', false],
    ['r.io', 'xr.io', 'x', false],
    ['R.io', 'r.io', 'x', true],
    ['r.io/', 'r.io', 'x', true],
    ['r.io/ns', 'r.io', 'ns', true],
    ['r.io/ns', 'r.io', 'nsx/y', false],
    ['r.io/ns/', 'r.io', 'ns/y', true],
    ['r.io/ns/x', 'r.io', 'ns', false],
    ['http://r.io', 'r.io', 'x', true],
    ['https://r.io/v1/', 'r.io', 'x', true],
    ['https://r.io/v2', 'r.io', 'x', true],
    ['https://r.io/ns', 'r.io', 'other', false],
    ['[::1]:5000', '[::1]:5000', 'x', true],
    ['https://index.docker.io/v1/', 'registry-1.docker.io', 'library/x', true],
    ['index.docker.io', 'docker.io', 'library/x', true],
    ['docker.io', 'registry-1.docker.io', 'library/x', true],
    ['registry-1.docker.io', 'registry-1.docker.io', 'x/y', true],
    ['docker.io/org', 'registry-1.docker.io', 'org/x', true],
    ['docker.io/org', 'registry-1.docker.io', 'library/x', false],
    ['https://index.docker.io/v1/', 'evil.example', 'index.docker.io/v1', false],
    ['*.r.io', 'a.r.io', 'x', true],
    ['*.r.io', 'r.io', 'x', false],
    ['*.r.io', 'a.b.r.io', 'x', false],
    ['*.r.io', 'evil.example', 'a.r.io', false],
    ['eu-*.r.io/ns', 'eu-west.r.io', 'ns/x', true],
    ['eu-*.r.io', 'us-west.r.io', 'x', false],
    ['a*a.r.io', 'a.r.io', 'x', false],
    ['r.*', 'r.io:5000', 'x', false],
    ['r.*:5000', 'r.io:5000', 'x', true],
    ['a*b*.r.io', 'ab.r.io', 'x', true],
    ['a?c.r.io', 'abc.r.io', 'x', true],
    ['[ab].r.io', 'b.r.io', 'x', true],
    ['[^ab].r.io', 'b.r.io', 'x', false],
    ['[::1]:5000', '1:5000', 'x', false],
    ['*', 'localhost', 'x', true],
    ['*', 'r.io', 'x', false],
    ['', 'r.io', 'x', false],
  ];
  for (const [key, host, path, fits] of rows) {
    test(`"${key}" ${fits ? 'applies' : 'does not apply'} to ${host}/${path}`, () => {
      assert.equal(userOf(find({ auths: { [key]: entry('u') } }, host, path)), fits ? 'u' : 'none');
    });
  }

  test('a plain key comes before its older spelling', () => {
    const auths = { 'https://index.docker.io/v1/': entry('old'), 'docker.io': entry('plain') };
    assert.equal(userOf(find({ auths }, 'registry-1.docker.io', 'library/x')), 'plain');
  });
});

describe('the content of an entry', () => {
  const rows: readonly (readonly [why: string, value: unknown, expected: unknown])[] = [
    [
      'auth',
      { auth: base64('joe:pw') },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'joe', password: 'pw' },
    ],
    [
      'colons belong to the password',
      { auth: base64('joe:p:w:') },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'joe', password: 'p:w:' },
    ],
    [
      'no user name',
      { auth: base64(':pw') },
      { kind: 'basic', holder, source: 'the test (r.io)', username: '', password: 'pw' },
    ],
    [
      'base64 without padding',
      { auth: 'am9lOnB3ZA' },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'joe', password: 'pwd' },
    ],
    [
      'base64 in lines',
      { auth: 'am9l\nOnB3\r\n' },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'joe', password: 'pw' },
    ],
    [
      'letters beyond ASCII',
      { auth: base64('jö:pß') },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'jö', password: 'pß' },
    ],
    [
      'username and password',
      { username: 'joe', password: 'p:w' },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'joe', password: 'p:w' },
    ],
    [
      'auth before username',
      { auth: base64('a:b'), username: 'c', password: 'd' },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'a', password: 'b' },
    ],
    [
      'identity token before auth',
      { auth: base64('a:b'), identitytoken: 'tok' },
      { kind: 'identity-token', holder, source: 'the test (r.io)', token: 'tok' },
    ],
    [
      'null is absent',
      { auth: null, username: 'a', password: 'b' },
      { kind: 'basic', holder, source: 'the test (r.io)', username: 'a', password: 'b' },
    ],
  ];
  for (const [why, value, expected] of rows) {
    test(why, () => {
      assert.deepEqual(find({ auths: { 'r.io': value } }, 'r.io', 'x'), {
        kind: 'credential',
        credential: expected,
      });
      assert.deepEqual(find({ 'r.io': value }, 'r.io', 'x', 'dockercfg'), {
        kind: 'credential',
        credential: expected,
      });
    });
  }

  test('an empty entry gives way to a less specific one', () => {
    for (const empty of [{}, { auth: '' }, { auth: base64(':') }, { username: '', password: '' }]) {
      assert.equal(
        userOf(find({ auths: { 'r.io/ns': empty, 'r.io': entry('host') } }, 'r.io', 'ns/x')),
        'host',
      );
      assert.equal(userOf(find({ auths: { 'r.io/ns': empty } }, 'r.io', 'ns/x')), 'none');
    }
  });

  const malformed: readonly (readonly [string, unknown, RegExp])[] = [
    ['no base64', { auth: 'S3CRET!' }, /entry for r\.io "auth" is not base64 of user:password/],
    ['base64 without a colon', { auth: base64('S3CRET') }, /is not base64 of user:password/],
    ['base64 that is no text', { auth: Buffer.from([0x61, 0x3a, 0xff]).toString('base64') }, /is not base64/],
    ['auth that is no text', { auth: 17 }, /"auth" is not text/],
    ['a password that is no text', { username: 'a', password: ['S3CRET'] }, /"password" is not text/],
    ['a token that is no text', { identitytoken: { S3CRET: 1 } }, /"identitytoken" is not text/],
    ['a line break at the end', { auth: base64('a:S3CRET\n') }, /line break or NUL/],
    [
      'a user name alone',
      { username: 'S3CRET' },
      /in its entry for r\.io there is a username and no password; write both, as docker login does$/,
    ],
    ['a password alone', { password: 'S3CRET', username: null }, /there is a password and no username; /],
    ['a colon in the user name', { username: 'a:S3CRET', password: 'b' }, /user name has a colon/],
    ['text for an entry', 'S3CRET', /its entry for r\.io is not a JSON object/],
    ['null for an entry', null, /its entry for r\.io is not a JSON object/],
  ];
  for (const [why, value, text] of malformed) {
    test(`a malformed entry is refused by name, never quoted: ${why}`, () => {
      assert.throws(
        () => find({ auths: { 'r.io': value } }, 'r.io', 'x'),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'invalid' &&
          thrown.message.startsWith('the test cannot be used: ') &&
          text.test(thrown.message) &&
          !thrown.message.includes('S3CRET'),
      );
      assert.equal(find({ auths: { 'r.io': value } }, 'other.io', 'x').kind, 'none');
    });
  }
});

describe('entries of credential helpers', () => {
  const label = (found: Found): string =>
    found.kind === 'program' ? `${found.field} ${found.name} ${found.server}` : userOf(found);
  const rows: readonly (readonly [
    why: string,
    config: unknown,
    host: string,
    path: string,
    order: readonly string[],
  ])[] = [
    ['by host', { credHelpers: { 'r.io': 'ecr' } }, 'r.io', 'x', ['credHelpers ecr r.io']],
    ['of another host', { credHelpers: { 'r.io': 'ecr' } }, 'o.io', 'x', []],
    [
      'by the key as written',
      { credHelpers: { 'https://r.io': 'a' } },
      'r.io',
      'x',
      ['credHelpers a https://r.io'],
    ],
    [
      'by host where the key is a glob',
      { credHelpers: { '*.io': 'a' } },
      'r.io',
      'x',
      ['credHelpers a r.io'],
    ],
    [
      'the most specific first, a program before an entry of the same key',
      {
        credHelpers: { 'r.io': 'host', 'r.io/ns': 'ns' },
        auths: { 'r.io': entry('auth'), 'r.io/ns/x': entry('repo') },
      },
      'r.io',
      'ns/x',
      ['repo', 'credHelpers ns r.io/ns', 'credHelpers host r.io', 'auth'],
    ],
    ['the store for any host', { credsStore: 'pass' }, 'r.io', 'x', ['credsStore pass r.io']],
    [
      'the store after the entries',
      { credsStore: 'pass', auths: { 'r.io': entry('u') } },
      'r.io',
      'x',
      ['u', 'credsStore pass r.io'],
    ],
    [
      'the store, under the key of an empty entry',
      { credsStore: 'pass', auths: { 'https://r.io/v2/': {} } },
      'r.io',
      'x',
      ['credsStore pass https://r.io/v2/'],
    ],
    [
      'the store, under what docker login calls Docker Hub',
      { credsStore: 'pass' },
      'registry-1.docker.io',
      'x',
      ['credsStore pass https://index.docker.io/v1/'],
    ],
    ['no store', { credsStore: '' }, 'r.io', 'x', []],
  ];
  for (const [why, config, host, path, order] of rows) {
    test(why, () => assert.deepEqual(findAll(config, host, path).map(label), order));
  }

  for (const name of ['../../bin/sh', 'a/b', '', '-v', '.', 'a b', 'a\0b', 7, null, { S3CRET: 1 }]) {
    test(`the helper name ${JSON.stringify(name)} is refused`, () => {
      assert.throws(() => find({ credHelpers: { 'r.io': name } }, 'r.io', 'x'), {
        code: 'invalid',
        message:
          /^the test cannot be used: "credHelpers": invalid program.*: must be the <name> of docker-credential-<name>, of letters/,
      });
    });
  }

  test('the most specific key of several configurations wins', () => {
    const configs = [{ 'r.io': entry('first') }, { 'r.io/ns': entry('second') }, { 'r.io': entry('third') }];
    const parsed = configs.map(auths => parseDockerConfig(JSON.stringify({ auths }), 'auths', origin));
    const found = [...candidates(parsed, { host: 'r.io', path: 'ns/x' })];
    assert.deepEqual(found.map(userOf), ['second', 'first', 'third']);
  });
});

describe('a whole file that is malformed', () => {
  for (const [text, why] of [
    ['', /^the test is not JSON/],
    ['S3CRET', /^the test is not JSON/],
    ['{"auths": {"r.io": {"auth": "S3CRET', /^the test is not JSON/],
    ['[]', /it is not a JSON object/],
    ['"S3CRET"', /it is not a JSON object/],
    ['{"auths": ["S3CRET"]}', /its "auths" is not a JSON object/],
    ['{"credHelpers": "S3CRET"}', /its "credHelpers" is not a JSON object/],
  ] as const) {
    test(`is refused without a quote: ${text}`, () => {
      assert.throws(
        () => parseDockerConfig(text, 'auths', origin),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.cause === undefined &&
          why.test(thrown.message) &&
          !thrown.message.includes('S3CRET'),
      );
    });
  }
});

test('auth round-trips for any username without a colon and any password', () => {
  const clean = fc.string({ unit: 'grapheme' }).filter(text => !/[\r\n\0]/.test(text));
  fc.assert(
    fc.property(
      clean.filter(text => !text.includes(':')),
      clean,
      (username, password) => {
        const found = find({ auths: { 'r.io': { auth: base64(`${username}:${password}`) } } }, 'r.io', 'x');
        const expected = toBasic(username, password, 'r.io', origin);
        assert.deepEqual(
          found,
          expected === undefined ? { kind: 'none' } : { kind: 'credential', credential: expected },
        );
      },
    ),
  );
});

test('an object of another kind is no auth file, and an empty one has no credentials', () => {
  const origin = { name: 'the auth file x', holder: { kind: 'node' }, code: 'internal' } as const;
  assert.throws(() => parseDockerConfig('{"default":[]}', 'auths', origin), {
    code: 'internal',
    message: 'the auth file x has none of auths, credHelpers, credsStore',
  });
  assert.deepEqual(parseDockerConfig('{}', 'auths', origin).entries, []);
});

describe('keys with many globs cost little, whatever they are', () => {
  const shapes = [
    '*a'.repeat(60),
    '?*'.repeat(25),
    '*[!b]'.repeat(50),
    `*[${'b'.repeat(120)}]`,
    '['.repeat(120),
  ];
  for (const shape of shapes) {
    test(`such as ${shape.slice(0, 10)}`, () => {
      const keys = Array.from({ length: 1700 }, (_, nth) => [`*${shape}${nth.toString(36)}.b`, {}] as const);
      const text = JSON.stringify({ auths: Object.fromEntries(keys) });
      const configs = [1, 2, 3, 4].map(() => parseDockerConfig(text, 'auths', origin));
      const took = [1, 2].map(() => {
        const start = cpuTime();
        try {
          assert.deepEqual([...candidates(configs, { host: `${'a'.repeat(230)}.b`, path: 'x' })], []);
        } catch (thrown) {
          assert.match(
            String(thrown),
            /the test cannot be used: its keys take too long to match against aaa/,
          );
        }
        return cpuTime() - start;
      });
      assert.ok(Math.min(...took) < 500, took.join(' '));
    });
  }
});

test('a pull secret of a large company is within the bound', () => {
  const entries = Array.from({ length: 2000 }, (_, nth) => [`*.dkr-${nth}.ecr.*.amazonaws.com`, {}] as const);
  const auths = { ...Object.fromEntries(entries), '*.dkr.ecr.*.amazonaws.com': entry('me') };
  assert.equal(userOf(find({ auths }, '123456789012.dkr.ecr.us-east-1.amazonaws.com', 'team/model')), 'me');
});
