import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Part } from '../../configfile/part.ts';
import { formatRepository, parseReference, parseRepository } from '../../oci/reference.ts';
import { plainTrust } from '../http/tls.ts';
import { mergeRegistries, type Registries } from './registries.ts';
import { parseRegistriesConf } from './registries-conf.ts';
import { toRoute } from './route.ts';
import { refusalOf } from './rule-match.ts';

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
