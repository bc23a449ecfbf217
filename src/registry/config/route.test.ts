import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openConfigurationDirectory } from '../../../test/support/node/configuration-directory.ts';
import { startReading } from '../../configfile/watched-file.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { type Configuration, notesOf, readConfiguration } from './configuration.ts';
import { listSkipped } from './placement.ts';
import { isNamed, toRoute, type Upstream } from './route.ts';
import { askBy } from './transport.ts';

type Files = Readonly<Record<string, string>>;

async function read(files: Files): Promise<Configuration> {
  await using directory = await openConfigurationDirectory(files);
  return readConfiguration(directory.files, startReading());
}

function full(text: string): Reference {
  const parsed = parseReference(text);
  assert.ok(parsed.kind === 'full');
  return parsed.reference;
}

/** Formats an upstream as `https://host/v2/path` with its other settings. */
function show({ scheme, host, root, path, insecure, mirrorOf, namespace, trust }: Upstream): string {
  const more = [
    insecure ? 'insecure' : '',
    trust.insecure && scheme !== undefined ? 'blind' : '',
    mirrorOf === undefined ? '' : `ns=${mirrorOf}`,
    namespace === undefined ? '' : `for ${namespace}`,
  ];
  return [`${scheme ?? 'any'}://${host}${root}/${path}`, ...more.filter(text => text !== '')].join(' ');
}

async function routeOf(
  files: Files,
  reference: string,
  question: 'name' | 'content' = 'name',
  labels = {},
): Promise<readonly string[]> {
  const { mirrors, last } = toRoute(await read(files), full(reference), question, labels);
  return [...mirrors, last].map(show);
}

const digest = `sha256:${'a'.repeat(64)}`;
const conf = (text: string): Files => ({ 'registries.conf': text });
const hosts = (text: string, name = 'a.io'): Files => ({ [`hosts/${name}/hosts.toml`]: text });

test('without configuration the registry is asked, and docker.io at its API host', async () => {
  assert.deepEqual(await routeOf({}, 'a.io/x'), ['any://a.io/v2/x']);
  assert.deepEqual(await routeOf({}, 'docker.io/x'), ['any://registry-1.docker.io/v2/library/x']);
});

describe('mirrors of registries.conf', () => {
  test('have times of their own, and so has the registry', async () => {
    const text =
      '[[registry]]\nlocation = "a.io"\nresponse-timeout = "1m"\n[[registry.mirror]]\nlocation = "m.io"\ndial-timeout = "1s"\n[[registry.mirror]]\nlocation = "n.io"\n';
    const { mirrors, last } = toRoute(await read(conf(text)), full('a.io/x'), 'content');
    assert.deepEqual(
      [...mirrors, last].map(({ connectMs, responseMs }) => [connectMs, responseMs]),
      [
        [1_000, undefined],
        [10_000, undefined],
        [10_000, 60_000],
      ],
    );
  });

  const three = `[[registry]]
prefix = "a.io/team"
location = "moved.io/new"
insecure = true
[[registry.mirror]]
location = "all.io:5000/cache"
[[registry.mirror]]
location = "tags.io"
pull-from-mirror = "tag-only"
insecure = true
[[registry.mirror]]
location = "digests.io"
pull-from-mirror = "digest-only"
`;
  const all = 'any://all.io:5000/v2/cache/x ns=a.io';
  const tags = 'any://tags.io/v2/x insecure ns=a.io';
  const digests = 'any://digests.io/v2/x ns=a.io';
  const last = 'any://moved.io/v2/new/x insecure';

  const rows: readonly (readonly [reference: string, endpoints: readonly string[]])[] = [
    ['a.io/team/x', [all, tags, last]],
    ['a.io/team/x:1', [all, tags, last]],
    [`a.io/team/x@${digest}`, [all, digests, last]],
    [`a.io/team/x:1@${digest}`, [all, digests, last]],
    ['a.io/other/x', ['any://a.io/v2/other/x']],
  ];
  for (const [reference, endpoints] of rows) {
    test(`serve ${reference.replace(digest, 'D')} by what the user wrote, for names and content`, async () => {
      assert.deepEqual(await routeOf(conf(three), reference, 'name'), endpoints);
      assert.deepEqual(await routeOf(conf(three), reference, 'content'), endpoints);
    });
  }

  test('mirror-by-digest-only applies to all mirrors of a registry', async () => {
    const text =
      '[[registry]]\nlocation="a.io"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m.io"\n';
    assert.deepEqual(await routeOf(conf(text), 'a.io/x'), ['any://a.io/v2/x']);
    assert.deepEqual(await routeOf(conf(text), `a.io/x@${digest}`), [
      'any://m.io/v2/x ns=a.io',
      'any://a.io/v2/x',
    ]);
  });

  test('of a wildcard receive the rest of the path', async () => {
    const text = '[[registry]]\nprefix="*.a.io"\n[[registry.mirror]]\nlocation="m.io/cache"\n';
    assert.deepEqual(await routeOf(conf(text), 'b.a.io/x/y'), [
      'any://m.io/v2/cache/x/y ns=b.a.io',
      'any://b.a.io/v2/x/y',
    ]);
  });

  test('on the registry’s own host do not count as mirrors', async () => {
    const text =
      '[[registry]]\nlocation="docker.io"\n[[registry.mirror]]\nlocation="docker.io/copies"\n[[registry.mirror]]\nlocation="m.io"\n';
    assert.deepEqual(await routeOf(conf(text), 'docker.io/x'), [
      'any://registry-1.docker.io/v2/copies/library/x',
      'any://m.io/v2/library/x ns=docker.io',
      'any://registry-1.docker.io/v2/library/x',
    ]);
  });

  test('do not serve blocked repositories', async () => {
    const text = '[[registry]]\nlocation="a.io"\nblocked=true\n[[registry.mirror]]\nlocation="m.io"\n';
    await assert.rejects(routeOf(conf(text), 'a.io/x'), { code: 'denied', message: /blocked = true/ });
  });

  test('of a later file replace those of earlier files', async () => {
    const text = (mirror: string) =>
      `[[registry]]\nlocation="a.io"\n[[registry.mirror]]\nlocation="${mirror}"\n`;
    const files = { ...conf(text('main.io')), 'registries.conf.d/a.conf': text('late.io') };
    assert.deepEqual(await routeOf(files, 'a.io/x'), ['any://late.io/v2/x ns=a.io', 'any://a.io/v2/x']);
  });
});

test('each upstream names the file that it comes from, or none', async () => {
  const configuration = await read({
    ...conf('[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nlocation = "m.io"'),
    'hosts/b.io/hosts.toml': '[host."https://m.io"]',
    'hosts/c.io/unused': '',
  });
  const origins = (reference: string) => {
    const { mirrors, last } = toRoute(configuration, full(reference), 'name');
    return [...mirrors, last].map(({ origin }) =>
      'file' in origin
        ? `${origin.kind} ${origin.file.replace(/^.*configuration-[^/]*\//, '')}`
        : origin.kind,
    );
  };
  const ofRule = 'registries.conf registries.conf';
  assert.deepEqual(origins('a.io/x'), [ofRule, ofRule]);
  const ofHosts = 'hosts.toml hosts/b.io/hosts.toml';
  assert.deepEqual(origins('b.io/x'), [ofHosts, ofHosts]);
  assert.deepEqual(origins('c.io/x'), ['hosts.toml hosts/c.io/hosts.toml']);
  assert.deepEqual(origins('d.io/x'), ['reference']);
});

describe('hosts of hosts.toml', () => {
  const three = `server = "https://up.a.io/registry"
skip_verify = true
[host."http://127.0.0.1:30020"]
capabilities = ["pull"]
[host."https://names.io"]
capabilities = ["resolve"]
[host."https://harbor.io/v2/proxy"]
override_path = true
[host."https://push.io"]
capabilities = ["push"]
`;
  const peer = 'http://127.0.0.1:30020/v2/team/x insecure ns=a.io';
  const names = 'https://names.io/v2/team/x ns=a.io';
  const harbor = 'https://harbor.io/v2/proxy/team/x ns=a.io';
  const last = 'https://up.a.io/registry/v2/team/x insecure blind for a.io';

  test('serve by capability: resolve for names and access, pull for bytes', async () => {
    for (const reference of ['a.io/team/x:1', `a.io/team/x@${digest}`]) {
      assert.deepEqual(await routeOf(hosts(three), reference, 'name'), [names, harbor, last]);
      assert.deepEqual(await routeOf(hosts(three), reference, 'content'), [peer, harbor, last]);
    }
  });

  test('a path below /v2 is the start of the repository, for tokens and credentials', async () => {
    const configuration = await read(hosts(three));
    const { mirrors } = toRoute(configuration, full('a.io/team/x'), 'name');
    assert.deepEqual([mirrors[1]?.root, mirrors[1]?.path], ['/v2', 'proxy/team/x']);
  });

  test('the times of a host apply to it alone', async () => {
    const times = 'dial_timeout = "1s"\nresponse_timeout = "10m"';
    const configuration = await read(hosts(`[host."http://127.0.0.1:30020"]\n${times}`));
    const { mirrors, last: upstream } = toRoute(configuration, full('a.io/team/x'), 'name');
    assert.deepEqual([mirrors[0]?.connectMs, upstream.connectMs], [1_000, 10_000]);
    assert.deepEqual([mirrors[0]?.responseMs, upstream.responseMs], [600_000, undefined]);
  });

  test('without a server, the registry itself is last, with the settings of the file', async () => {
    const configuration = await read(hosts('[header]\nx-a = "b"', 'docker.io'));
    const { mirrors, last: upstream } = toRoute(configuration, full('docker.io/x'), 'name');
    assert.equal(mirrors.length, 0);
    assert.equal(show(upstream), 'https://registry-1.docker.io/v2/library/x');
    assert.deepEqual(upstream.headers, { 'x-a': 'b' });
  });

  test('as Talos writes them keep their order, for a port, and for all other registries', async () => {
    const files = {
      'hosts/docker.io/hosts.toml':
        "[host]\n  [host.'https://registry-1.docker.io']\n    capabilities = ['pull', 'resolve']\n  [host.'https://harbor.io/v2/hub']\n    capabilities = ['pull', 'resolve']\n    override_path = true\n",
      'hosts/a.io_5000_/hosts.toml': "[host]\n  [host.'https://a.io:5000']\n    skip_verify = true\n",
      'hosts/_default/hosts.toml':
        "[host]\n  [host.'http://127.0.0.1:30020']\n    capabilities = ['pull', 'resolve']\n",
    };
    assert.deepEqual(await routeOf(files, 'docker.io/x:1'), [
      'https://registry-1.docker.io/v2/library/x',
      'https://harbor.io/v2/hub/library/x ns=docker.io',
      'https://registry-1.docker.io/v2/library/x',
    ]);
    assert.deepEqual(await routeOf(files, 'a.io:5000/x:1'), [
      'https://a.io:5000/v2/x insecure blind',
      'https://a.io:5000/v2/x',
    ]);
    assert.deepEqual(await routeOf(files, 'b.io/x:1'), [
      'http://127.0.0.1:30020/v2/x insecure ns=b.io',
      'https://b.io/v2/x',
    ]);
  });

  test('without any capability refuse the reference, and the error says so', async () => {
    const text = 'capabilities = ["push"]';
    await assert.rejects(routeOf(hosts(text), 'a.io/x'), {
      code: 'denied',
      message:
        /^no host may resolve a\.io\/x: .*hosts\.toml has only hosts without "resolve"; add it to the capabilities of one, or a server line$/,
    });
  });

  const directories: readonly (readonly [
    names: readonly string[],
    reference: string,
    chosen: string | undefined,
  ])[] = [
    [['a.io', '_default'], 'a.io/x', 'a.io'],
    [['a.io', '_default'], 'b.io/x', '_default'],
    [['a.io'], 'b.io/x', undefined],
    [['a.io'], 'a.io:5000/x', undefined],
    [['a.io_5000_'], 'a.io:5000/x', 'a.io_5000_'],
    [['a.io:5000'], 'a.io:5000/x', 'a.io:5000'],
    [['a.io_5000_', 'a.io:5000'], 'a.io:5000/x', 'a.io_5000_'],
    [['[::1]_5000_'], '[::1]:5000/x', '[::1]_5000_'],
    [['a.io_5000_'], 'a.io/x', undefined],
    [['docker.io'], 'docker.io/x', 'docker.io'],
  ];
  for (const [present, reference, chosen] of directories) {
    test(`of the directories ${present.join(' and ')}, ${chosen ?? 'none'} applies to ${reference}`, async () => {
      const files = present.map(name => [`hosts/${name}/hosts.toml`, `[header]\nx-directory = "${name}"`]);
      const { last: upstream } = toRoute(await read(Object.fromEntries(files)), full(reference), 'name');
      assert.equal(upstream.headers['x-directory'], chosen);
    });
  }
});

describe('when both styles name a registry', () => {
  const both: Files = {
    ...conf(
      '[[registry]]\nlocation="a.io/team"\n[[registry.mirror]]\nlocation="m.io"\n[[registry]]\nprefix="*.b.io"\n',
    ),
    ...hosts('[host."https://h.io"]'),
    ...hosts('[host."https://h.io"]', 'x.b.io'),
    ...hosts('[host."https://h.io"]', 'c.io'),
  };

  test('registries.conf wins for what its prefix matches', async () => {
    assert.deepEqual(await routeOf(both, 'a.io/team/x'), ['any://m.io/v2/x ns=a.io', 'any://a.io/v2/team/x']);
    assert.deepEqual(await routeOf(both, 'a.io/x'), ['https://h.io/v2/x ns=a.io', 'https://a.io/v2/x']);
    assert.deepEqual(await routeOf(both, 'x.b.io/x'), ['any://x.b.io/v2/x']);
  });

  test('the log reports it', async () => {
    const notes = notesOf(await read(both));
    assert.deepEqual(
      notes.map(note => note.replaceAll(/\/\S*configuration-\w+\//g, '')),
      [
        'hosts/a.io is for a.io, and registries.conf has prefix "a.io/team": what that matches goes by registries.conf alone',
        'hosts/x.b.io is for x.b.io, and registries.conf has prefix "*.b.io": what that matches goes by registries.conf alone',
      ],
    );
  });
});

test('a command may use plain HTTP or skip certificate verification for its registry, and for no other host', async () => {
  const configuration = await read(
    conf(
      '[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nlocation = "m.io"\n[[registry]]\nprefix = "b.io"\nlocation = "c.io"',
    ),
  );
  for (const [transport, shown] of [
    ['plain-http', 'http://a.io/v2/x insecure'],
    ['insecure', 'https://a.io/v2/x blind'],
  ] as const) {
    const asked = (text: string) => {
      const reference = full(text);
      return askBy(transport, toRoute(configuration, reference, 'name'), reference);
    };
    const { mirrors, last } = asked('a.io/x');
    assert.deepEqual([...mirrors, last].map(show), ['any://m.io/v2/x ns=a.io', shown]);
    assert.throws(() => asked('b.io/x'), {
      code: 'invalid',
      message: new RegExp(`^--${transport} is for .*, and .*registries\\.conf asks c\\.io for b\\.io/x;`),
    });
  }
});

describe('a mirror whose address names labels of the node', () => {
  const zone = 'topology.kubernetes.io/zone';
  const byHosts = hosts(`server = "https://a.io"
[host."https://cache.\${${zone}}.example:5000/v2/\${rack}"]
override_path = true
[host."https://plain.io"]
`);
  const byRules = conf(`[[registry]]
location = "a.io"
[[registry.mirror]]
location = "cache-\${${zone}}.example/\${rack}"
`);

  test('is asked at the address that they make', async () => {
    const labels = { [zone]: 'EU-1a', rack: 'r7' };
    assert.deepEqual(await routeOf(byHosts, 'a.io/x', 'name', labels), [
      'https://cache.eu-1a.example:5000/v2/r7/x ns=a.io',
      'https://plain.io/v2/x ns=a.io',
      'https://a.io/v2/x',
    ]);
    assert.deepEqual(await routeOf(byRules, 'a.io/x', 'name', labels), [
      'any://cache-eu-1a.example/v2/r7/x ns=a.io',
      'any://a.io/v2/x',
    ]);
    const configuration = await read({ ...byHosts, ...byRules });
    assert.equal(configuration.isLabelled, true);
    for (const host of ['cache.eu-1a.example:5000', 'cache-eu-1a.example', 'plain.io', 'a.io'])
      assert.equal(isNamed(configuration, host, labels), true, host);
    assert.equal(isNamed(configuration, 'cache-eu-1b.example', labels), false);
    assert.deepEqual(listSkipped(configuration, labels), []);
  });

  for (const [what, labels, why] of [
    ['the node has not', { rack: 'r7' }, `this node has no label ${zone}`],
    ['are empty', { [zone]: '', rack: 'r7' }, `this node has no label ${zone}`],
    ['leave their part', { [zone]: 'evil.example/a', rack: 'r7' }, 'fits no address'],
    ['have a port', { [zone]: 'evil:1', rack: 'r7' }, 'fits no address'],
    ['have a user', { [zone]: 'evil@', rack: 'r7' }, 'fits no address'],
    ['lead up', { [zone]: 'a', rack: '..' }, 'fits no address'],
    ['are escaped', { [zone]: 'a', rack: '%2e%2e' }, 'fits no address'],
  ] as const)
    test(`is skipped if they ${what}`, async () => {
      assert.deepEqual(await routeOf(byHosts, 'a.io/x', 'name', labels), [
        'https://plain.io/v2/x ns=a.io',
        'https://a.io/v2/x',
      ]);
      assert.deepEqual(await routeOf(byRules, 'a.io/x', 'name', labels), ['any://a.io/v2/x']);
      for (const files of [byHosts, byRules]) {
        const [line, ...more] = listSkipped(await read(files), labels);
        assert.match(line ?? '', /^the mirror \S*cache\S* of \S+ is skipped: /);
        assert.ok(line?.includes(why) === true && more.length === 0, `${line}`);
      }
    });

  test('may end in a number, which is no host', async () => {
    const files = hosts('[host."https://cache.${rack}"]');
    assert.deepEqual(await routeOf(files, 'a.io/x', 'name', { rack: '7' }), ['https://a.io/v2/x']);
    assert.match(listSkipped(await read(files), { rack: '7' })[0] ?? '', /which is no address$/);
  });

  for (const [what, files] of [
    ['a key that is none', hosts('[host."https://c.${zone/a/b}.io"]')],
    [
      'a location with a key that is none',
      conf('[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nlocation = "c.${}.io"'),
    ],
  ] as const)
    test(`${what} is refused`, async () => {
      await assert.rejects(routeOf(files, 'a.io/x'), {
        message: /invalid placeholder "\$\{.*must be a label, such as/,
      });
    });

  test('a registry itself has an address of its own', async () => {
    await assert.rejects(routeOf(hosts('server = "https://${zone}.io"'), 'a.io/x'), {
      message: /must be a URL/,
    });
  });
});
