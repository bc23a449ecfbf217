import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import fc from 'fast-check';
import { fieldAt, parseJson, parseJsonInSteps } from './json.ts';
import { doInSlices } from './pace.ts';

const never = new AbortController().signal;

/** No backslash in a key: V8 14.6 can take an escape in one for a key that it has seen elsewhere. */
const key = fc.string({ unit: 'grapheme' }).filter(text => !JSON.stringify(text).includes('\\'));
const { value: anyJson } = fc.letrec(tie => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.string({ unit: 'binary' }).map(text => text.toWellFormed()),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(null, true, false, -0, 1e300),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.oneof(key, fc.constantFrom('__proto__', 'constructor', '1')), tie('value'), {
      maxKeys: 4,
    }),
  ),
}));

test('what JSON.parse accepts is parsed alike, whatever the whitespace', () => {
  fc.assert(
    fc.property(anyJson, fc.constantFrom(undefined, 1, '\t\r\n '), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      assert.deepEqual(parseJson(` ${text}\n`), JSON.parse(text));
      assert.deepEqual(parseJson(Buffer.from(text)), JSON.parse(text));
    }),
  );
});

test('what JSON.parse refuses is refused', () => {
  const read = (parse: (text: string) => unknown, text: string): unknown => {
    try {
      return { value: parse(text) };
    } catch {
      return 'refused';
    }
  };
  const piece = fc.constantFrom(
    ...Array.from('{}[],:"\\0123456789.-+eE \n'),
    'true',
    'null',
    '"a"',
    '\\u0041',
    '\u0001',
    'é',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 9 }), pieces => {
      const text = pieces.join('');
      assert.deepEqual(read(parseJson, text), read(JSON.parse, text));
    }),
    { numRuns: 3_000 },
  );
  fc.assert(
    fc.property(anyJson, fc.nat(), fc.constantFrom('', ',', '"', '}', ']', '0'), (value, at, other) => {
      const text = JSON.stringify(value);
      const cut = at % (text.length + 1);
      const changed = `${text.slice(0, cut)}${other}${text.slice(cut + 1)}`.toWellFormed();
      assert.deepEqual(read(parseJson, changed), read(JSON.parse, changed));
    }),
  );
});

for (const [what, source, why] of [
  ['a list that goes on', '[1, 2', /^it is not JSON: it ends too early$/],
  ['two values', '{} {}', /^it is not JSON: there is a syntax error at line 1, column 4$/],
  ['a comma too many', '{"a": 1,}', /^it is not JSON: there is a syntax error at line 1, column 9$/],
  ['a line end in a text', '["a\nb"]', /^it is not JSON: there is a syntax error at line 1, column 2$/],
  ['bytes that are no text', Buffer.of(0x22, 0xff, 0x22), /^it is not JSON: it is not UTF-8$/],
  ['deep lists', `${'['.repeat(65)}${']'.repeat(65)}`, /^it is nested more than 64 deep$/],
  ['many bytes', ' '.repeat(2 ** 20 + 1), /^it has more than 1048576 bytes$/],
  ['many values', JSON.stringify(Array(262_144).fill(0)), /^it has more than 262144 values$/],
  [
    'many keys',
    JSON.stringify(Object.fromEntries(Array.from({ length: 10_001 }, (_, n) => [n, 0]))),
    /^an object of it has more than 10000 keys$/,
  ],
] as const) {
  test(`${what} are refused, with the reason and without a quote`, () => {
    assert.throws(() => parseJson(source, { maxBytes: 2 ** 20 }), { code: 'invalid', message: why });
  });
}

test('a duplicate key is refused if requested; else the last one counts', () => {
  const text = '[{"a": 1},\n{"a": 1, "\\u0061": 2}]';
  assert.deepEqual(parseJson(text), [{ a: 1 }, { a: 2 }]);
  assert.throws(() => parseJson(text, { uniqueKeys: true }), {
    message: 'line 2 has a key for the second time',
  });
});

test('objects and lists are measured', () => {
  const found: unknown[] = [];
  const measure = (value: unknown, bytes: number, depth: number) => void found.push([value, bytes, depth]);
  parseJson(' {"a": [ {"b":"\u00e4"} , 1 ]} ', { measure });
  const inner = { b: '\u00e4' };
  assert.deepEqual(found, [
    [inner, 10, 2],
    [[inner, 1], 18, 1],
    [{ a: [inner, 1] }, 25, 0],
  ]);
});

test('no 4 MiB of JSON blocks the thread for 50 ms', async () => {
  const maxBytes = 4 * 1024 * 1024;
  const fill = (count: number, make: (n: number) => string): string => {
    const width = Math.floor(maxBytes / count) - 1;
    return Array.from({ length: count }, (_, n) => make(n).padEnd(width).slice(0, width))
      .join(',')
      .slice(0, maxBytes - 20);
  };
  const kinds = {
    deep: '['.repeat(2_000_000) + ']'.repeat(2_000_000),
    keys: `{${fill(200_000, n => `"key${n}":0`)}}`,
    objects: `[${fill(120_000, n => `{"k${n}":{}}`)}]`,
    numbers: `[${fill(200_000, n => `1.${n}e-9`)}]`,
    texts: `[${fill(200_000, n => `"\\n${n}"`)}]`,
    text: `"${'\\n'.repeat(maxBytes / 2 - 2)}"`,
    space: ' '.repeat(maxBytes),
  };
  for (const [kind, text] of Object.entries(kinds)) {
    const bytes = Buffer.from(text);
    const worst: number[] = [];
    // Garbage of the test itself, which any turn may have to collect.
    for (let run = 0; run < 3; run++) worst.push(await longestTurn(parseJsonInSteps(bytes, { maxBytes })));
    assert.ok(Math.min(...worst) < 50_000, `${kind}: ${worst.join()} us`);
  }
});

test('a field in objects is undefined if one of them is absent, or no object', () => {
  const value = { metadata: { name: 'a', list: ['x'] } };
  assert.equal(fieldAt(value, 'metadata', 'name'), 'a');
  assert.equal(fieldAt(value), value);
  for (const keys of [
    ['spec', 'name'],
    ['metadata', 'name', 'length'],
    ['metadata', 'list', '0'],
  ])
    assert.equal(fieldAt(value, ...keys), undefined);
  assert.equal(fieldAt(null, 'metadata'), undefined);
});

/** Returns the microseconds of CPU that the thread spends in one turn of its loop. */
async function longestTurn(work: Generator<void, unknown>): Promise<number> {
  let worst = 0;
  let isOver = false;
  let before = process.threadCpuUsage();
  const turn = (): void => {
    const { user, system } = process.threadCpuUsage(before);
    worst = Math.max(worst, user + system);
    before = process.threadCpuUsage();
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await doInSlices(work, never).catch(() => undefined);
  isOver = true;
  turn();
  return worst;
}
