import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseJsonObject } from './json.ts';

const wrong: readonly [text: string, why: RegExp][] = [
  ['{"a": 1,}', /^it is not JSON: there is a syntax error at line 1, column 9/],
  ['# comment\n{}', /^it is not JSON/],
  ['[]', /^it must be an object$/],
  ['null', /^it must be an object$/],
  ['{"a": [],\n "a": []}', /^line 2 has a key for the second time$/],
  ['{"a": {"b": 1, "\\u0062": 2}}', /^line 1 has a key for the second time$/],
];

for (const [text, why] of wrong) {
  test(`refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => parseJsonObject(text), { code: 'invalid', message: why });
  });
}

test('values are read by the wanted type, and an error names the path of another', () => {
  const top = parseJsonObject('{"a": {"quay.io/x": [{"b": ["c"], "n": 5, "t": ""}]}}');
  const [entry] = top.table('a')?.tables('quay.io/x') ?? [];
  assert.equal(entry?.path, 'a["quay.io/x"][0]');
  assert.deepEqual(entry.texts('b'), ['c']);
  assert.equal(entry.count('n'), 5);
  assert.equal(entry.text('absent'), undefined);
  assert.throws(() => entry.text('t'), { message: 'a["quay.io/x"][0].t must not be empty' });
  assert.throws(() => entry.text('b'), { message: /\.b must be text in quotes$/ });
  assert.throws(() => entry.texts('n'), { message: /\.n must be a list of texts/ });
  assert.throws(() => entry.count('b'), { message: /\.b must be a whole number/ });
  assert.throws(() => entry.table('b'), { message: /\.b must be an object/ });
  assert.throws(() => entry.tables('b'), { message: /\.b\[0\] must be an object/ });
  assert.throws(() => entry.only('b', 'n'), {
    message: 'a["quay.io/x"][0].t is an unknown field; the known fields are b, n',
  });
});

test('a key counts as duplicate within its own object, whatever texts contain', () => {
  // Without a backslash in keys: V8 14.6 can take an escape in one for a key that it has seen elsewhere.
  const key = fc.constantFrom('a', 'b', 'k"', '{"', '}', ':', '[', ',', 'ü');
  const text = fc.constantFrom('', 'a', '"', '\\', '\\"', '{"a":1,"a":2}', '\u0000');
  const document = fc.letrec(tie => ({
    value: fc.oneof({ depthSize: 'small' }, text, fc.integer(), tie('list'), tie('object')),
    list: fc.array(tie('value'), { maxLength: 3 }),
    object: fc
      .uniqueArray(fc.tuple(key, tie('value')), { maxLength: 4, selector: ([name]) => name })
      .map(Object.fromEntries),
  }));
  fc.assert(
    fc.property(document.object, fc.constantFrom(undefined, 1), (value, indent) => {
      const json = JSON.stringify(value, null, indent);
      assert.deepEqual([...parseJsonObject(json).keys], Object.keys(value as object));
      const twice = `{"x": [${json}, {"y": 1, "\\u0079" : 2}]}`;
      assert.throws(() => parseJsonObject(twice), { message: /has a key for the second time$/ });
    }),
  );
});

test('the largest document that comes with a signature is parsed fast', () => {
  const wide = `{${Array.from({ length: 10_000 }, (_, nth) => `"k${nth}":1`).join(',')}}`;
  const long = `{"a":"${'\\n'.repeat(125_000)}"${' '.repeat(10_000)}}`;
  const before = process.threadCpuUsage();
  for (const text of [wide, long]) parseJsonObject(text);
  assert.ok(process.threadCpuUsage(before).user < 500_000);
});

test('keys with names of object properties are ordinary keys', () => {
  const top = parseJsonObject('{"__proto__": {"a": "b"}, "constructor": "c"}');
  assert.deepEqual(top.keys, ['__proto__', 'constructor']);
  assert.equal(top.table('__proto__')?.text('a'), 'b');
  assert.equal(top.text('toString'), undefined);
});
