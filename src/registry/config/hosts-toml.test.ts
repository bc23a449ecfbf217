import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../../util/error.ts';
import { type HostsFile, parseHostsFile } from './hosts-toml.ts';

const directory = '/hosts/a.io';
const file = `${directory}/hosts.toml`;
const parse = (text: string): HostsFile => parseHostsFile(text, file, directory);
const plain = {
  pulls: true,
  resolves: true,
  ca: [],
  client: [],
  skipVerify: false,
  headers: {},
  times: {},
};

test('every key is parsed, for each host and for the server', () => {
  const options = `capabilities = ["Pull", "push"]
ca = ["ca.crt", "/etc/ca.crt"]
client = [["client.cert", "client.key"], ["both.pem", ""], "/etc/both.pem"]
skip_verify = true
override_path = true
dial_timeout = "1m1.5s"
response_timeout = "10m"
  [KEY.header]
  X-Team = "models"
  x-list = ["a", "b"]
`;
  const read = {
    pulls: true,
    resolves: false,
    ca: ['/hosts/a.io/ca.crt', '/etc/ca.crt'],
    client: [
      ['/hosts/a.io/client.cert', '/hosts/a.io/client.key'],
      ['/hosts/a.io/both.pem', '/hosts/a.io/both.pem'],
      ['/etc/both.pem', '/etc/both.pem'],
    ],
    skipVerify: true,
    headers: { 'x-team': 'models', 'x-list': 'a, b' },
    times: { connectMs: 61_500, responseMs: 600_000 },
  };
  const key = 'host."https://m.io:5000/some/where"';
  assert.deepEqual(
    parse(`server = "http://s.io/there"
${options.replace('  [KEY.header]', '[header]')}
[${key}]
${options.replace('KEY', key)}`),
    {
      file,
      hosts: [{ ...read, address: { scheme: 'https', host: 'm.io:5000', root: '/some/where' } }],
      server: { ...read, address: { scheme: 'http', host: 's.io', root: '/there' } },
      notes: [],
    },
  );
});

test('the defaults are all capabilities, and the registry itself as the server', () => {
  assert.deepEqual(parse('[host."https://m.io"]'), {
    file,
    hosts: [{ ...plain, address: { scheme: 'https', host: 'm.io', root: '/v2' } }],
    server: plain,
    notes: [],
  });
});

test('a time of zero counts as absent, and a small one does not round to zero', () => {
  for (const [text, ms] of [
    ['', undefined],
    ['0s', undefined],
    ['250ms', 250],
    ['1ns', 1],
    ['24h', 86_400_000],
  ] as const) {
    assert.equal(parse(`dial_timeout = "${text}"`).server.times.connectMs, ms);
    assert.equal(parse(`response_timeout = "${text}"`).server.times.responseMs, ms);
  }
});

test('a wait is parsed for a mirror, and is not used for the server', () => {
  const { hosts, server, notes } = parse(
    'server = "https://a.io"\nwait = "1m"\n[host."https://m.io"]\nwait = "10m"',
  );
  assert.equal(hosts[0]?.times.waitMs, 600_000);
  assert.equal(server.address?.host, 'a.io');
  assert.deepEqual(notes, [`${file}: not used by this driver: wait`]);
});

for (const key of ['dial_timeout', 'response_timeout', 'wait']) {
  for (const text of ['ten minutes', '-1s', '24h1ms', '30']) {
    test(`${key} = "${text}" is refused, with file, line and key`, () => {
      assert.throws(() => parse(`[host."http://m.io"]\n${key} = "${text}"`), {
        code: 'invalid',
        message: `${file}:2: host["http://m.io"].${key}: invalid value "${text}": must be a duration of at most 24h, such as "3s" or "1m30s"`,
      });
    });
  }
}

test('a single file is a list of one', () => {
  const { ca, client } = parse('ca = "ca.crt"\nclient = "both.pem"').server;
  assert.deepEqual(
    [ca, client],
    [['/hosts/a.io/ca.crt'], [['/hosts/a.io/both.pem', '/hosts/a.io/both.pem']]],
  );
});

test('hosts keep the order of the file', () => {
  const { hosts } = parse('[host."http://z.io"]\n[host."http://10.0.0.1:5000"]\n[host."http://a.io"]');
  assert.deepEqual(
    hosts.map(({ address }) => address.host),
    ['z.io', '10.0.0.1:5000', 'a.io'],
  );
});

describe('an address', () => {
  const rows: readonly (readonly [text: string, override: boolean, address: string])[] = [
    ['https://m.io', false, 'https://m.io /v2'],
    ['https://m.io/', false, 'https://m.io /v2'],
    ['https://m.io/v2', false, 'https://m.io /v2'],
    ['https://m.io/v2/', false, 'https://m.io /v2'],
    ['https://m.io//x//y/', false, 'https://m.io /x/y/v2'],
    ['https://m.io/x/v2', false, 'https://m.io /x/v2'],
    ['https://m.io', true, 'https://m.io '],
    ['https://m.io/v2/proxy', true, 'https://m.io /v2/proxy'],
    ['m.io:5000', false, 'https://m.io:5000 /v2'],
    ['httpd.io', false, 'https://httpd.io /v2'],
    ['HTTP://M.io:80', false, 'http://m.io /v2'],
    ['http://[::1]:30020', false, 'http://[::1]:30020 /v2'],
  ];
  for (const [text, override, expected] of rows) {
    test(`${text}${override ? ' with override_path' : ''} is ${expected}`, () => {
      const { hosts } = parse(`[host."${text}"]\noverride_path = ${override}`);
      const { scheme, host, root } = hosts[0]?.address ?? { scheme: '', host: '', root: '' };
      assert.equal(`${scheme}://${host} ${root}`, expected);
    });
  }
});

test('unused keys become one log message each', () => {
  const { notes } = parse('y = 1\n[host."http://a.io"]\ny = 1\n[host."http://b.io"]\ny = 1\nx = 1');
  assert.deepEqual(notes, [`${file}: not used by this driver: y, host.y, host.x`]);
});

describe('errors name file, line and key', () => {
  const host = '[host."http://b.io"]\n[host."http://a.io"]\n';
  const rows: readonly (readonly [string, RegExp])[] = [
    ['server = [', /hosts\.toml:1:\d+: /],
    ['server = 1', /hosts\.toml:1: server must be text/],
    ['server = "ftp://a.io"', /hosts\.toml:1: server must be a URL/],
    ['server = "https://u:S3CRET@a.io"', /hosts\.toml:1: server must be a URL/],
    ['server = "https://a.io/?x"', /server must be a URL/],
    ['host = "a.io"', /hosts\.toml:1: host must be a table/],
    ['[[host]]', /hosts\.toml:1: host must be a table/],
    ['[host."https://a b"]', /hosts\.toml:1: host\["https:\/\/a b"\] must be a URL/],
    [
      `${host}capabilities = ["fly"]`,
      /hosts\.toml:3: host\["http:\/\/a\.io"\]\.capabilities: invalid value "fly": must be one of pull, resolve/,
    ],
    [`${host}capabilities = "pull"`, /hosts\.toml:3: .*capabilities must be a list/],
    [`${host}ca = 1`, /hosts\.toml:3: .*ca must be a file, or a list of files/],
    [`${host}client = [["a"]]`, /hosts\.toml:3: .*client must be a file, a list of files, or a list of \[/],
    [`${host}client = [["a", "b", "c"]]`, /client must be/],
    [`${host}client = [1]`, /client must be/],
    [`${host}skip_verify = "no"`, /hosts\.toml:3: .*skip_verify must be true or false/],
    [`${host}override_path = 1`, /hosts\.toml:3: .*override_path must be true or false/],
    [`${host}dial_timeout = 3`, /hosts\.toml:3: .*dial_timeout must be text in quotes/],
    [
      `${host}dial_timeout = "3"`,
      /hosts\.toml:3: .*dial_timeout: invalid value "3": must be a duration of at most 24h, such as "3s"/,
    ],
    [`${host}dial_timeout = "-3s"`, /hosts\.toml:3: .*dial_timeout: invalid value "-3s": must be a duration/],
    [`${host}header = 1`, /hosts\.toml:3: .*header must be a table/],
    ['[header]\nx-a = 1', /hosts\.toml:2: header\.x-a must be a text or a list of texts/],
    ['[header]\nx-a = "S3CRET\\nx-b: c"', /hosts\.toml:2: header\.x-a is no header that can be added/],
    ['[header]\n"x a" = "b"', /hosts\.toml:2: header\["x a"\] is no header/],
    ['[header]\nHost = "b.io"', /hosts\.toml:2: header\.Host is no header/],
    ['[header]\nRange = "bytes=0-"', /header\.Range is no header/],
    ['[header]\nTransfer-Encoding = "chunked"', /is no header/],
  ];
  for (const [text, why] of rows) {
    test(text.split('\n').at(-1) ?? '', () => {
      assert.throws(
        () => parse(text),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'invalid' &&
          why.test(thrown.message) &&
          !thrown.message.includes('S3CRET'),
      );
    });
  }

  test('only an ArtifactError is thrown, whatever the values', () => {
    const key = fc.constantFrom(
      'server',
      'ca',
      'client',
      'header',
      'capabilities',
      '[host."http://a"]\nca',
      '[header]\n"x"',
    );
    const value = fc.oneof(
      fc.constantFrom('"a.io"', '""', '1', 'true', '[]', '["a", "b"]', '[["a", "b"]]', '{}', '{ x = 1 }'),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 5 }), lines => {
        try {
          parse(lines.map(([name, text]) => `${name} = ${text}\n`).join(''));
        } catch (thrown) {
          assert.ok(thrown instanceof ArtifactError, String(thrown));
        }
      }),
      { numRuns: 500 },
    );
  });
});
