import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../../util/error.ts';
import { parseRegistriesConf } from './registries-conf.ts';

const file = '/etc/containers/registries.conf';

test('every key that is used is parsed', () => {
  const conf = parseRegistriesConf(
    `unqualified-search-registries = ["docker.io", "quay.io/", "localhost:5000"]
short-name-mode = "enforcing"

[aliases]
model = "ghcr.io/org/model"
"org/tool" = "docker.io/tool"
gone = ""

[[registry]]
prefix = "example.com/team/"
location = "internal.example:5000/moved"
insecure = true
dial-timeout = "2s"
[[registry.mirror]]
location = "first.example:5000/cache/"
insecure = true
pull-from-mirror = "tag-only"
dial-timeout = "1s"
response-timeout = "10m"
wait = "5m"
[[registry.mirror]]
location = "second.example"
pull-from-mirror = ""

[[registry]]
prefix = "*.blocked.example"
blocked = true

[[registry]]
location = "plain.example"
mirror-by-digest-only = true
[[registry.mirror]]
location = "third.example"
`,
    file,
  );
  assert.deepEqual(conf.search, ['docker.io', 'quay.io', 'localhost:5000']);
  assert.equal(conf.mode, 'enforcing');
  assert.deepEqual(
    [...conf.aliases],
    [
      ['model', { file, repository: { registry: 'ghcr.io', path: 'org/model' } }],
      ['org/tool', { file, repository: { registry: 'docker.io', path: 'library/tool' } }],
      ['gone', { file }],
    ],
  );
  assert.deepEqual(conf.rules, [
    {
      prefix: 'example.com/team',
      location: 'internal.example:5000/moved',
      insecure: true,
      blocked: false,
      times: { connectMs: 2_000 },
      mirrors: [
        {
          location: 'first.example:5000/cache',
          insecure: true,
          serves: 'tag-only',
          times: { connectMs: 1_000, responseMs: 600_000, waitMs: 300_000 },
        },
        { location: 'second.example', insecure: false, serves: 'all', times: {} },
      ],
      file,
    },
    { prefix: '*.blocked.example', insecure: false, blocked: true, times: {}, mirrors: [], file },
    {
      prefix: 'plain.example',
      location: 'plain.example',
      insecure: false,
      blocked: false,
      times: {},
      mirrors: [{ location: 'third.example', insecure: false, serves: 'digest-only', times: {} }],
      file,
    },
  ]);
  assert.deepEqual(conf.notes, []);
});

test('an empty file sets nothing', () => {
  assert.deepEqual(parseRegistriesConf('', file), { file, aliases: new Map(), rules: [], notes: [] });
});

test('an empty list of search registries is a setting', () => {
  assert.deepEqual(parseRegistriesConf('unqualified-search-registries = []', file).search, []);
});

describe('what is not used becomes a log message', () => {
  test('unused keys, named once each', () => {
    const { notes } = parseRegistriesConf(
      `credential-helpers = ["x"]
surprise = 1
[[registry]]
location = "a.example"
pull = true
[[registry.mirror]]
location = "m.example"
proxy = "p"
[[registry]]
location = "b.example"
[[registry.mirror]]
location = "n.example"
proxy = "p"
`,
      file,
    );
    assert.deepEqual(notes, [
      `${file}: not used by this driver: credential-helpers, surprise, registry.pull, registry.mirror.proxy`,
    ]);
  });

  test('a duplicate prefix: the first one counts', () => {
    const conf = parseRegistriesConf(
      '[[registry]]\nlocation = "a.example"\nblocked = true\n[[registry]]\nlocation = "a.example"\nblocked = true\n',
      file,
    );
    assert.deepEqual(
      conf.rules.map(rule => rule.blocked),
      [true],
    );
    assert.match(
      conf.notes.join(),
      /^\/etc\/containers\/registries\.conf:5: registry\[\d\]\.location: .*came before/,
    );
  });

  for (const prefix of ['*', 'registry', 'Example.com', 'example.com/*']) {
    test(`a prefix that no reference can begin with: ${prefix}`, () => {
      const conf = parseRegistriesConf(`[[registry]]\nlocation = "${prefix}"\n`, file);
      assert.deepEqual(conf.rules, []);
      assert.match(conf.notes.join(), /registry\[\d\]\.location: no reference begins with/);
    });
  }
});

describe('errors name file, line and key', () => {
  const rows: readonly (readonly [string, string, RegExp])[] = [
    ['no TOML', 'a = \n', /conf:1:5: /],
    ['a key twice', '[aliases]\na = "b.io/c"\na = "b.io/d"', /conf:3:\d+: /],
    [
      'version 1',
      '\n[registries.search]\nregistries = ["docker.io"]',
      /conf:2: registries is version 1 .*\[\[registry\]\]/,
    ],
    [
      'search as text',
      'unqualified-search-registries = "docker.io"',
      /conf:1: unqualified-search-registries must be a list/,
    ],
    [
      'search with a number',
      'unqualified-search-registries = ["a.io", 1]',
      /search-registries\[1\] must be text/,
    ],
    [
      'search with a path',
      'unqualified-search-registries = ["quay.io/org"]',
      /conf:1: .*invalid registry "quay.io\/org": must be host/,
    ],
    [
      'search without a dot',
      'unqualified-search-registries = ["quay"]',
      /invalid registry "quay": must be host/,
    ],
    ['search with a scheme', 'unqualified-search-registries = ["https://quay.io"]', /must be host or/],
    [
      'an unknown mode',
      '# first\nshort-name-mode = "strict"',
      /conf:2: short-name-mode: invalid value ".*": must be one of enforcing, permissive, disabled/,
    ],
    ['a mode of another type', 'short-name-mode = true', /short-name-mode must be text in quotes/],
    ['aliases that are no table', 'aliases = ["a"]', /conf:1: aliases must be a table/],
    ['an alias that is no text', '[aliases]\nx = 1', /conf:2: aliases\.x must be text/],
    ['an alias with a tag', '[aliases]\nx = "ghcr.io/x:1"', /conf:2: aliases\.x: .*no tag and no digest/],
    [
      'an alias of a short name',
      '[aliases]\nx = "org/x"',
      /conf:2: aliases\.x: .*a registry must come first/,
    ],
    [
      'an alias with a tag in its name',
      '[aliases]\n"x:1" = "ghcr.io/x"',
      /conf:2: aliases\["x:1"\] must be a short name/,
    ],
    ['an alias of a full name', '[aliases]\n"ghcr.io/x" = "ghcr.io/y"', /must be a short name/],
    ['an erased alias with a bad name', '[aliases]\n"X" = ""', /conf:2: aliases\.X: .*upper-case/],
    ['registry as a table', '[registry]\nprefix = "a.io"', /conf:1: registry must be an array of tables/],
    [
      'neither prefix nor location',
      '[[registry]]\nblocked = true',
      /registry\[\d\]\.prefix is missing, and so is location/,
    ],
    ['a number as prefix', '[[registry]]\nprefix = 5', /conf:2: registry\[\d\]\.prefix must be text/],
    [
      'insecure in quotes',
      '[[registry]]\nlocation="a.io"\n[[registry]]\nlocation="b.io"\ninsecure = "yes"',
      /conf:5: registry\[\d\]\.insecure must be true or false/,
    ],
    [
      'blocked as a number',
      '[[registry]]\nlocation="a.io"\nblocked = 1',
      /conf:3: registry\[\d\]\.blocked must be true or false/,
    ],
    [
      'a location with a scheme',
      '[[registry]]\nlocation = "http://a.io"',
      /conf:2: registry\[\d\]\.location: leave out http:\/\//,
    ],
    [
      'a prefix with a scheme',
      '[[registry]]\nprefix = "https://a.io"',
      /registry\[\d\]\.prefix: leave out https:\/\//,
    ],
    [
      'a wildcard with a path',
      '[[registry]]\nprefix = "*.a.io/x"',
      /invalid prefix "\*\.a\.io.*": must be \*\.domain/,
    ],
    [
      'a mirror that is nowhere',
      '[[registry]]\nlocation="a.io"\n[[registry.mirror]]\ninsecure = true',
      /conf: registry\[\d\]\.mirror\[\d\]\.location must be host/,
    ],
    [
      'a mirror without a dot, of the second registry',
      '[[registry]]\nlocation="a.io"\n[[registry.mirror]]\nlocation="m.io"\n[[registry]]\nlocation="b.io"\n[[registry.mirror]]\nlocation="m"',
      /conf:8: registry\[\d\]\.mirror\[\d\]\.location: invalid value ".*": must be host/,
    ],
    [
      'a mirror as a table',
      '[[registry]]\nlocation="a.io"\n[registry.mirror]\nlocation="m.io"',
      /conf:3: registry\[\d\]\.mirror must be an array of tables, \[\[registry\.mirror\]\]/,
    ],
    [
      'an unknown use of a mirror',
      '[[registry]]\nlocation="a.io"\n[[registry.mirror]]\nlocation="m.io"\npull-from-mirror="some"',
      /conf:5: registry\[\d\]\.mirror\[\d\]\.pull-from-mirror: invalid value ".*": must be one of all, digest-only, tag-only/,
    ],
    [
      'two uses of a mirror that exclude each other',
      '[[registry]]\nlocation="a.io"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m.io"\npull-from-mirror="all"',
      /conf:6: registry\[\d\]\.mirror\[\d\]\.pull-from-mirror and mirror-by-digest-only = true of its registry exclude/,
    ],
    [
      'the use of a mirror where there is none',
      '[[registry]]\nlocation="a.io"\npull-from-mirror="all"',
      /conf:3: registry\[\d\]\.pull-from-mirror belongs into a \[\[registry\.mirror\]\]/,
    ],
    [
      'mirror-by-digest-only in quotes',
      '[[registry]]\nlocation="a.io"\nmirror-by-digest-only="true"',
      /conf:3: registry\[\d\]\.mirror-by-digest-only must be true or false/,
    ],
    [
      'a prefix without a location, which is no wildcard',
      '[[registry]]\nprefix = "a.io/x"\nblocked = true',
      /conf:2: registry\[\d\]\.prefix: location is missing; write it too/,
    ],
    [
      'two tables of one location that disagree in blocked',
      '[[registry]]\nlocation = "a.io"\nblocked = true\n[[registry]]\nlocation = "a.io"',
      /conf:5: registry\[\d\]\.location: "a\.io" has blocked = true in another \[\[registry\]\]/,
    ],
    [
      'two prefixes of one location that disagree in insecure',
      '[[registry]]\nprefix = "a.io"\nlocation = "c.io"\n[[registry]]\nprefix = "b.io"\nlocation = "c.io:443"\ninsecure = true',
      /conf:7: registry\[\d\]\.insecure: "c\.io" has insecure = false in another \[\[registry\]\]/,
    ],
    [
      'two wildcards that disagree',
      '[[registry]]\nprefix = "*.a.io"\nblocked = true\n[[registry]]\nprefix = "*.a.io"',
      /"\*\.a\.io" has blocked = true in another/,
    ],
    [
      'a wildcard with a port',
      '[[registry]]\nprefix = "*.a.io:5000"',
      /invalid prefix "\*\.a\.io.*": must be \*\.domain/,
    ],
  ];
  for (const [what, text, why] of rows) {
    test(what, () => {
      assert.throws(
        () => parseRegistriesConf(text, file),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'invalid' &&
          thrown.message.startsWith(file) &&
          !thrown.message.includes('\n') &&
          why.test(thrown.message),
      );
    });
  }

  test('only an ArtifactError is thrown, whatever the values', () => {
    const value = fc.oneof(
      fc.constantFrom('"a.io"', '"x"', '""', '1', 'true', '[]', '["a.io/b"]', '{}', '1979-05-27', '[[1]]'),
      fc.string({ maxLength: 8 }),
    );
    const key = fc.constantFrom(
      'unqualified-search-registries',
      'short-name-mode',
      'aliases',
      'registry',
      'registries',
      'prefix',
      'location',
      'blocked',
      '__proto__',
      '[aliases]\nx',
      '[[registry]]\nprefix',
      '[[registry.mirror]]\nlocation',
      'mirror-by-digest-only',
      'pull-from-mirror',
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 5 }), lines => {
        try {
          parseRegistriesConf(lines.map(([name, text]) => `${name} = ${text}\n`).join(''), file);
        } catch (thrown) {
          assert.ok(thrown instanceof ArtifactError, String(thrown));
        }
      }),
      { numRuns: 500 },
    );
  });
});

test('a key that is probably mistyped is named with the intended one', () => {
  const { notes } = parseRegistriesConf(
    '[[registry]]\nlocation = "a.example"\ninsecur = true\nwait = "1m"\n[[registry.mirror]]\nlocation = "m.example"\npull-from-mirrors = "all"',
    file,
  );
  assert.deepEqual(notes, [
    `${file}: not used by this driver: registry.insecur (did you mean insecure?), registry.wait, registry.mirror.pull-from-mirrors (did you mean pull-from-mirror?)`,
  ]);
  assert.throws(() => parseRegistriesConf('[[registry]]\nlocatoin = "a.example"', file), {
    code: 'invalid',
    message: /prefix is missing, and so is location; write one of them; is locatoin meant to be location\?$/,
  });
});
