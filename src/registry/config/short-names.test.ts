import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { formatReference } from '../../oci/reference.ts';
import type { Expander } from '../../ports/registry.ts';
import { mergeRegistries } from './registries.ts';
import { parseRegistriesConf } from './registries-conf.ts';
import { expand } from './short-names.ts';

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
