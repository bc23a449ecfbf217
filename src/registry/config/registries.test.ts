import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { type Part, startReading } from '../../configfile/watched-file.ts';
import { formatReference, formatRepository, parseReference, parseRepository } from '../../oci/reference.ts';
import type { Expander } from '../../ports/registry.ts';
import { plainTrust } from '../http/tls.ts';
import {
  expand,
  mergeRegistries,
  type Registries,
  type RegistriesFiles,
  readRegistries,
  refusalOf,
} from './registries.ts';
import { parseRegistriesConf } from './registries-conf.ts';
import { toRoute } from './route.ts';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'registries-'));
});
after(() => rm(root, { recursive: true }));

let count = 0;
/** Writes files to a directory of its own and reads them. The directory counts as the standard one. */
async function read(files: Readonly<Record<string, string>>): Promise<Registries> {
  const paths = filesIn(join(root, String((count += 1))));
  for (const [name, text] of Object.entries(files)) {
    const path = join(dirname(paths.file), name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  return readRegistries(paths, startReading(), paths);
}

function filesIn(directory: string): RegistriesFiles {
  return {
    file: join(directory, 'registries.conf'),
    directory: join(directory, 'registries.conf.d'),
    aliasesFile: join(directory, 'short-name-aliases.conf'),
  };
}

const aliasOf = (registries: Registries, name: string) => registries.aliases.get(name)?.repository?.registry;

describe('what does not exist', () => {
  test('no file at all: docker.io is the only search registry, and short names are permissive', async () => {
    assert.deepEqual(await read({}), {
      search: { registries: ['docker.io'], file: 'the built-in default' },
      mode: { name: 'permissive', file: 'the built-in default' },
      aliases: new Map(),
      rules: [],
      notes: [],
    });
  });

  test('a main file without search registries leaves none', async () => {
    const { search } = await read({ 'registries.conf': '' });
    assert.deepEqual(search.registries, []);
    assert.match(search.file, /registries\.conf$/);
  });

  test('a drop-in without a main file adds to the default', async () => {
    const { search, mode } = await read({ 'registries.conf.d/a.conf': 'short-name-mode = "disabled"' });
    assert.deepEqual(search.registries, ['docker.io']);
    assert.equal(mode.name, 'disabled');
  });

  test('a file or directory that a user named must exist', async () => {
    const standard = filesIn(join(root, 'standard'));
    const named = join(root, 'nowhere');
    const refused = { code: 'invalid', message: new RegExp(`${named} does not exist`) };
    const readAt = (paths: RegistriesFiles) => readRegistries(paths, startReading(), standard);
    assert.throws(() => readAt({ ...standard, file: named }), refused);
    assert.throws(() => readAt({ ...standard, directory: named }), refused);
    assert.ok(readAt({ ...standard, aliasesFile: named }));
  });

  test('a file that exists but cannot be read is an error, even at its standard path', async () => {
    const paths = filesIn(join(root, 'unreadable'));
    await mkdir(paths.file, { recursive: true });
    assert.throws(() => readRegistries(paths, startReading(), paths), {
      code: 'internal',
      message: /registries\.conf cannot be read/,
    });
  });

  test('a drop-in that is a dangling link is ignored', async () => {
    const paths = filesIn(join(root, 'dangling'));
    await mkdir(paths.directory, { recursive: true });
    await symlink('nowhere', join(paths.directory, 'a.conf'));
    assert.deepEqual(readRegistries(paths, startReading(), paths).search.registries, ['docker.io']);
  });
});

describe('which file wins', () => {
  test('drop-ins win over the main file, and later names over earlier ones, key by key', async () => {
    const { search, mode, notes } = await read({
      'registries.conf': 'unqualified-search-registries = ["main.io"]\nshort-name-mode = "enforcing"\nx = 1',
      'registries.conf.d/20.conf': 'unqualified-search-registries = ["late.io", "late.io"]\ny = 1',
      'registries.conf.d/10.conf': 'unqualified-search-registries = ["early.io"]',
      'registries.conf.d/30.txt': 'unqualified-search-registries = ["text.io"]',
      'registries.conf.d/40.conf/50.conf': 'unqualified-search-registries = ["nested.io"]',
    });
    assert.deepEqual(search.registries, ['late.io']);
    assert.match(search.file, /20\.conf$/);
    assert.equal(mode.name, 'enforcing');
    assert.match(mode.file, /registries\.conf$/);
    assert.deepEqual(
      notes.map(note => /([^/]*): not used by this driver: (.*)$/.exec(note)?.slice(1)),
      [
        ['registries.conf', 'x'],
        ['20.conf', 'y'],
      ],
    );
  });

  test('an empty list replaces, an empty mode sets nothing', async () => {
    const { search, mode } = await read({
      'registries.conf': 'unqualified-search-registries = ["main.io"]\nshort-name-mode = "disabled"',
      'registries.conf.d/a.conf': 'unqualified-search-registries = []\nshort-name-mode = ""',
    });
    assert.deepEqual(search.registries, []);
    assert.equal(mode.name, 'disabled');
  });

  test('aliases merge by name; an empty one removes; the recorded ones win over all', async () => {
    const registries = await read({
      'registries.conf':
        '[aliases]\na = "main.io/a"\nb = "main.io/b"\nc = "main.io/c"\nd = "main.io/d"\ne = "main.io/e"',
      'registries.conf.d/a.conf': '[aliases]\nb = "drop.io/b"\nc = ""\nd = "drop.io/d"',
      'short-name-aliases.conf':
        'short-name-mode = "enforcing"\n[aliases]\nd = "recorded.io/d"\ne = ""\nf = "recorded.io/f"',
    });
    assert.deepEqual(
      ['a', 'b', 'c', 'd', 'e', 'f'].map(name => aliasOf(registries, name)),
      ['main.io', 'drop.io', undefined, 'recorded.io', undefined, 'recorded.io'],
    );
    assert.equal(registries.mode.name, 'permissive');
  });

  test('[[registry]] tables merge whole, by prefix, longest prefix first', async () => {
    const { rules } = await read({
      'registries.conf':
        '[[registry]]\nlocation = "a.io"\ninsecure = true\n[[registry]]\nlocation = "a.io/long"\nblocked = true',
      'registries.conf.d/a.conf':
        '[[registry]]\nlocation = "a.io"\nblocked = true\n[[registry]]\nlocation = "b.io"',
    });
    assert.deepEqual(
      rules.map(({ prefix, insecure, blocked }) => ({ prefix, insecure, blocked })),
      [
        { prefix: 'a.io/long', insecure: false, blocked: true },
        { prefix: 'a.io', insecure: false, blocked: true },
        { prefix: 'b.io', insecure: false, blocked: false },
      ],
    );
  });

  test('an error in a drop-in names that drop-in', async () => {
    await assert.rejects(read({ 'registries.conf.d/bad.conf': '\nshort-name-mode = 1' }), {
      code: 'invalid',
      message: /bad\.conf:2: short-name-mode must be text/,
    });
  });
});

const registriesOf = (text: string): Registries => mergeRegistries([parseRegistriesConf(text, '/r.conf')]);
const rule = (prefix: string, ...lines: readonly string[]): string =>
  lines.some(line => line.startsWith('location')) || prefix.startsWith('*.')
    ? `[[registry]]\nprefix = "${prefix}"\n${lines.join('\n')}\n`
    : `[[registry]]\nlocation = "${prefix}"\n${lines.join('\n')}\n`;
const right = <T>(value: T): Part<T> => ({ kind: 'right', value });
const at = (registries: Registries, name: string): string => {
  const configuration = {
    registries: right(registries),
    hosts: right(new Map()),
    certificates: right(new Map()),
    trust: right(plainTrust),
    isLabelled: false,
  };
  const { host, path, insecure } = toRoute(configuration, parseRepository(name), 'content').last;
  return `${insecure ? 'insecure ' : ''}${host}/${path}`;
};

test('without configuration a repository is requested at its registry, docker.io at its API', () => {
  const none = registriesOf('');
  assert.equal(at(none, 'ghcr.io/a/b'), 'ghcr.io/a/b');
  assert.equal(at(none, 'docker.io/x'), 'registry-1.docker.io/library/x');
  assert.equal(at(none, '[::1]:5000/x'), '[::1]:5000/x');
});

describe('the location replaces the matched prefix', () => {
  const rows: readonly (readonly [prefix: string, location: string, asked: string, where: string])[] = [
    ['a.io', 'b.io', 'a.io/x', 'b.io/x'],
    ['a.io', 'b.io:5000/deep/er', 'a.io/x/y', 'b.io:5000/deep/er/x/y'],
    ['a.io/team', 'b.io', 'a.io/team/x', 'b.io/x'],
    ['a.io/team', 'b.io', 'a.io/teams/x', 'a.io/teams/x'],
    ['a.io/team/x', 'b.io/y', 'a.io/team/x', 'b.io/y'],
    ['a.io/team/x', 'b.io/y', 'a.io/team/x/z', 'b.io/y/z'],
    ['a.io', 'b.io', 'aa.io/x', 'aa.io/x'],
    ['a.io', 'b.io', 'a.io.evil.example/x', 'a.io.evil.example/x'],
    ['a.io', 'b.io', 'a.io:5000/x', 'b.io:5000/x'],
    ['a.io:5000', 'b.io', 'a.io:5000/x', 'b.io/x'],
    ['a.io:5000', 'b.io', 'a.io/x', 'a.io/x'],
    ['*.a.io', 'b.io', 'x.a.io/m', 'b.io/m'],
    ['*.a.io', 'b.io', 'x.y.a.io/m', 'b.io/m'],
    ['*.a.io', 'b.io', 'a.io/m', 'a.io/m'],
    ['*.a.io', 'b.io', 'xa.io/m', 'xa.io/m'],
    ['*.a.io', 'b.io', 'evil.example/x.a.io/m', 'evil.example/x.a.io/m'],
    ['*.a.io', 'b.io', 'x.a.io.a.io/m', 'b.io/m'],
    ['docker.io', 'b.io/hub', 'docker.io/x', 'b.io/hub/library/x'],
    ['docker.io/library', 'b.io', 'docker.io/x', 'b.io/x'],
    ['quay.io', 'docker.io', 'quay.io/x', 'registry-1.docker.io/library/x'],
    ['a.io/x:1', 'b.io/x', 'a.io/x', 'a.io/x'],
  ];
  for (const [prefix, location, asked, where] of rows) {
    test(`${prefix} -> ${location}: ${asked} is at ${where}`, () => {
      assert.equal(at(registriesOf(rule(prefix, `location = "${location}"`)), asked), where);
    });
  }

  test('a prefix that equals its location, or has none, changes nothing', () => {
    assert.equal(at(registriesOf('[[registry]]\nlocation = "a.io"\n'), 'a.io:81/x'), 'a.io:81/x');
    assert.equal(at(registriesOf(rule('*.a.io', 'insecure = true')), 'x.a.io/m'), 'insecure x.a.io/m');
    assert.equal(at(registriesOf(rule('a.io', 'insecure = true')), 'a.io/m'), 'insecure a.io/m');
  });

  for (const [location, asked] of [
    ['b.io:5000', 'a.io:81/x'],
    ['b', 'a.io/x'],
    ['B.io', 'a.io/x'],
  ] as const) {
    test(`a location that does not form a valid repository for ${asked} is refused, and the error names the file: ${location}`, () => {
      assert.throws(() => at(registriesOf(rule('a.io', `location = "${location}"`)), asked), {
        code: 'denied',
        message: /\/r\.conf puts ".*" in the place of "a\.io".*correct the location/,
      });
    });
  }
});

describe('the longest prefix decides alone', () => {
  const registries = registriesOf(
    rule('a.io', 'blocked = true') +
      rule('a.io/open', 'insecure = true') +
      rule('a.io/open/shut', 'blocked = true') +
      rule('*.c.io', 'insecure = true') +
      rule('x.c.io', 'blocked = true') +
      rule('much.x.c.io'),
  );
  test('a longer prefix opens what a shorter one blocks, and blocks it again', () => {
    assert.equal(at(registries, 'a.io/open/x'), 'insecure a.io/open/x');
    for (const name of ['a.io/x', 'a.io/opened', 'a.io/open/shut', 'a.io/open/shut/x']) {
      assert.throws(() => at(registries, name), {
        code: 'denied',
        message: /is blocked: \/r\.conf has blocked = true/,
      });
    }
  });
  test('a wildcard counts by its own length, and of equal ones the first in character order wins, as in containers', () => {
    assert.equal(at(registries, 'x.c.io/m'), 'insecure x.c.io/m');
    assert.equal(at(registries, 'y.c.io/m'), 'insecure y.c.io/m');
    assert.equal(at(registries, 'much.x.c.io/m'), 'much.x.c.io/m');
  });
});

describe('a blocked reference', () => {
  const registries = registriesOf(rule('a.io/x:bad', 'blocked = true') + rule('b.io', 'blocked = true'));
  const refused = (text: string): boolean => {
    const parsed = parseReference(text);
    return parsed.kind === 'full' && refusalOf(registries, parsed.reference)?.code === 'denied';
  };
  test('may be one tag, a registry, or a registry at any port', () => {
    assert.deepEqual(
      ['a.io/x:bad', 'a.io/x:good', 'a.io/x', 'a.io/x/bad', 'b.io/x', 'b.io:81/x', 'bb.io/x'].map(refused),
      [true, false, false, false, true, true, false],
    );
  });
});

test('every repository under a remapped namespace keeps the rest of its path', () => {
  const part = fc.stringMatching(/^[a-z0-9]{1,6}$/);
  const registries = registriesOf(rule('a.io/ns', 'location = "b.io:81/other"'));
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), parts => {
      const name = parts.join('/');
      assert.equal(at(registries, `a.io/ns/${name}`), `b.io:81/other/${name}`);
      assert.equal(at(registries, `c.io/${name}`), formatRepository(parseRepository(`c.io/${name}`)));
    }),
  );
});

const digest = `sha256:${'a'.repeat(64)}`;
const expanderOf = (text: string): Expander => {
  const registries = mergeRegistries([parseRegistriesConf(text, '/r.conf')]);
  return { expand: name => expand({ kind: 'right', value: registries }, name) };
};
const expanded = (text: string, name: string): readonly string[] =>
  expanderOf(text).expand(name).map(formatReference);

const two = 'unqualified-search-registries = ["docker.io", "quay.io"]\n';
const alias = '[aliases]\nmodel = "ghcr.io/org/model"\ngone = ""\n';

describe('a name expands to full references', () => {
  const rows: readonly (readonly [why: string, conf: string, name: string, expected: readonly string[]])[] = [
    ['a full reference is itself', two + alias, 'quay.io/model:1', ['quay.io/model:1']],
    ['a full reference needs no search registry', '', 'localhost/x', ['localhost/x:latest']],
    ['every search registry in order', two, 'm', ['docker.io/library/m:latest', 'quay.io/m:latest']],
    ['with more than one part', two, 'o/m:1', ['docker.io/o/m:1', 'quay.io/o/m:1']],
    ['with a digest', two, `m@${digest}`, [`docker.io/library/m@${digest}`, `quay.io/m@${digest}`]],
    [
      'permissive tries all',
      `${two}short-name-mode = "permissive"`,
      'm',
      ['docker.io/library/m:latest', 'quay.io/m:latest'],
    ],
    [
      'disabled tries all',
      `${two}short-name-mode = "disabled"`,
      'm',
      ['docker.io/library/m:latest', 'quay.io/m:latest'],
    ],
    ['an alias alone', two + alias, 'model', ['ghcr.io/org/model:latest']],
    ['an alias keeps the tag', two + alias, 'model:v2', ['ghcr.io/org/model:v2']],
    ['an alias keeps tag and digest', two + alias, `model:v2@${digest}`, [`ghcr.io/org/model:v2@${digest}`]],
    [
      'an alias is for the whole name',
      two + alias,
      'model/x',
      ['docker.io/model/x:latest', 'quay.io/model/x:latest'],
    ],
    [
      'an erased alias is none',
      two + alias,
      'gone',
      ['docker.io/library/gone:latest', 'quay.io/gone:latest'],
    ],
    [
      'enforcing with an alias',
      `${two}short-name-mode = "enforcing"\n${alias}`,
      'model',
      ['ghcr.io/org/model:latest'],
    ],
    [
      'enforcing with one search registry',
      'unqualified-search-registries = ["quay.io"]\nshort-name-mode = "enforcing"',
      'm',
      ['quay.io/m:latest'],
    ],
    [
      'a blocked candidate is skipped',
      `${two}[[registry]]\nlocation = "docker.io"\nblocked = true`,
      'm',
      ['quay.io/m:latest'],
    ],
  ];
  for (const [why, conf, name, expected] of rows) {
    test(why, () => assert.deepEqual(expanded(conf, name), expected));
  }
});

describe('a name that cannot be completed is refused', () => {
  test('enforcing lists the candidates and the file', () => {
    assert.throws(() => expanded(`${two}short-name-mode = "enforcing"`, 'm:1'), {
      code: 'invalid',
      message:
        /"m" is a short name of docker\.io\/library\/m:1 or quay\.io\/m:1, and \/r\.conf has short-name-mode/,
    });
  });
  test('no search registry: the error names the file and what to write', () => {
    assert.throws(() => expanded('', 'm'), {
      code: 'invalid',
      message: /\/r\.conf has neither .*; write registry\/m$/,
    });
    assert.throws(() => expanded('', 'models/m:1'), { message: /; write registry\/models\/m:1$/ });
  });
  test('no search registry: a host alone is no short name', () => {
    for (const text of ['localhost:5000', 'registry.example.com', 'registry.example.com:5000']) {
      assert.throws(() => expanded('', text), {
        code: 'invalid',
        message: `"${text}" names a registry without a repository; write ${text}/repository`,
      });
    }
  });
  test('a blocked registry: the error names prefix and file', () => {
    const blocked = '[[registry]]\nlocation = "ghcr.io/org"\nblocked = true\n';
    for (const name of ['ghcr.io/org/x', 'model']) {
      assert.throws(() => expanded(alias + blocked, name), {
        code: 'denied',
        message:
          /ghcr\.io\/org\/\w+:latest is blocked: \/r\.conf has blocked = true for prefix "ghcr\.io\/org"/,
      });
    }
  });
  test('all candidates are blocked', () => {
    const both =
      '[[registry]]\nlocation = "docker.io"\nblocked = true\n[[registry]]\nlocation = "quay.io"\nblocked = true';
    assert.throws(() => expanded(two + both, 'm'), {
      code: 'denied',
      message: /^docker\.io\/library\/m:latest is blocked/,
    });
  });
  test('invalid references', () => {
    assert.throws(() => expanded(two, 'M'), { code: 'invalid' });
  });
});
