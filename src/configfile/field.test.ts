import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import type { Table } from './field.ts';
import { parseJsonObject } from './json.ts';
import { parseToml } from './toml.ts';
import { parseYaml } from './yaml.ts';

const document = {
  name: 'S3CRET',
  none: '',
  yes: true,
  five: 5,
  many: ['S3CRET', 'b'],
  empty: [],
  inner: { deep: { 'a key': 'S3CRET' } },
  entries: [{ n: 1 }, { n: 'S3CRET' }],
};
const toml = `name = "S3CRET"
none = ""
yes = true
five = 5
many = ["S3CRET", "b"]
empty = []
[inner.deep]
"a key" = "S3CRET"
[[entries]]
n = 1
[[entries]]
n = "S3CRET"
`;
const yaml = `name: S3CRET
none: ""
yes: true
five: 5
many: [S3CRET, b]
empty: []
inner:
  deep: { a key: S3CRET }
entries:
  - n: 1
  - n: S3CRET
`;

const formats: readonly (readonly [name: string, top: Table, place: (line: number) => string])[] = [
  ['JSON', parseJsonObject(JSON.stringify(document)), () => ''],
  ['TOML', parseToml(toml, 'f'), line => `f:${line}: `],
  ['plain YAML', parseYaml(yaml), line => `line ${line}: `],
  ['YAML of Kubernetes', parseYaml(yaml, { kind: 'kubernetes', file: 'f' }), line => `f:${line}: `],
];

for (const [format, top, place] of formats) {
  test(`${format}: a value of the wanted type is read`, () => {
    assert.deepEqual(top.keys, Object.keys(document));
    assert.equal(top.text('name'), 'S3CRET');
    assert.equal(top.text('none', 'be-empty'), '');
    assert.equal(top.flag('yes'), true);
    assert.equal(top.count('five'), 5);
    assert.deepEqual(top.texts('many'), ['S3CRET', 'b']);
    assert.deepEqual(top.texts('empty', 'be-empty'), []);
    assert.equal(top.table('inner')?.table('deep')?.text('a key'), 'S3CRET');
    assert.equal(top.tables('entries')?.[1]?.text('n'), 'S3CRET');
    for (const read of [top.get, top.text, top.flag, top.count, top.list, top.texts, top.table, top.tables])
      assert.equal(read('absent'), undefined);
  });

  const refusals: readonly (readonly [read: () => unknown, line: number, why: string])[] = [
    [() => top.text('none'), 2, 'none must not be empty'],
    [() => top.text('five'), 4, 'five must be text in quotes'],
    [() => top.flag('name'), 1, 'name must be true or false, without quotes'],
    [() => top.count('yes'), 3, 'yes must be a whole number'],
    [() => top.list('name'), 1, 'name must be a list'],
    [() => top.texts('five'), 4, 'five must be a list of texts, as in ["a", "b"]'],
    [() => top.list('empty'), 6, 'empty must have one entry at least'],
    [
      () => top.table('inner')?.table('deep')?.flag('a key'),
      8,
      'inner.deep["a key"] must be true or false, without quotes',
    ],
  ];
  for (const [read, line, why] of refusals) {
    test(`${format}: ${why}`, () => {
      assert.throws(read, (thrown: unknown) => {
        assert.equal(thrown instanceof Error && thrown.message, `${place(line)}${why}`);
        assert.doesNotMatch(inspect(thrown), /S3CRET/);
        return true;
      });
    });
  }

  test(`${format}: a value that is not a table is refused in the terms of the format, and an entry by its number`, () => {
    assert.throws(() => top.table('name'), {
      code: 'invalid',
      message: /name must be an? (?:object|map|table)/,
    });
    assert.throws(() => top.tables('inner'), /inner must be an? (?:list|array) of (?:objects|maps|tables)/);
    assert.throws(() => top.tables('entries')?.[1]?.count('n'), /entries\[1\]\.n must be a whole number$/);
  });

  test(`${format}: the first unknown key is refused, and the error lists the known ones`, () => {
    assert.throws(() => top.only('name', 'none'), {
      message: `${place(3)}yes is an unknown field; the known fields are name, none`,
    });
    top.only(...Object.keys(document));
  });

  test(`${format}: a missing required key is named with its table`, () => {
    assert.throws(() => top.need('absent'), { message: /it has no absent$/ });
    assert.throws(() => top.table('inner')?.need('absent'), { message: /inner has no absent$/ });
  });
}

test('Kubernetes accepts aliases and tags, and a null as absent; plain YAML does not', () => {
  const text = 'a: &x [one]\nb: *x\nc: null\nd: !own two\n';
  const top = parseYaml(text, { kind: 'kubernetes', file: 'f' });
  assert.deepEqual(top.texts('b'), ['one']);
  assert.equal(top.get('c'), undefined);
  assert.equal(top.text('d'), 'two');
  assert.throws(() => top.only('a', 'b', 'd'), /f:3: c is an unknown field/);
  assert.throws(() => parseYaml(text), /^ArtifactError: line 4: it is not plain YAML: /);
  const plain = parseYaml('a: &x [one]\nb: *x\nc: null\n');
  assert.throws(
    () => plain.texts('b'),
    /line 2: b cannot be an alias; put text that begins with \* in quotes/,
  );
  assert.throws(() => plain.text('c'), /line 3: c must be text in quotes/);
});
