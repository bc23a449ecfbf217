import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuTime } from '../../test/support/os/cpu-time.ts';
import { parseAttributes } from '../volume/attributes.ts';
import { parsePrefetchList } from './prefetch-list.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const whole = { unpack: 'auto', include: [], exclude: [] };
const parse = (text: string) => parsePrefetchList(text, parseAttributes);

test('an entry has the attributes of a volume, and defaults', () => {
  const entries = parse(`
artifacts:
  - reference: registry.example/models/tiny:v1
  - { reference: "registry.example/models/tiny@${digest}", keep: false }
  - reference: tiny
    platform: linux/arm64
    unpack: never
    include: "*.safetensors,config.json"
    exclude: old/**
    subPath: weights
    interval: 90s
    nodeSelector: { accelerator: a100, zone: "" }
`);
  assert.deepEqual(entries, [
    {
      artifact: { reference: 'registry.example/models/tiny:v1', selection: whole },
      keep: true,
      intervalMs: 3_600_000,
      nodeSelector: {},
    },
    {
      artifact: { reference: `registry.example/models/tiny@${digest}`, selection: whole },
      keep: false,
      intervalMs: undefined,
      nodeSelector: {},
    },
    {
      artifact: {
        reference: 'tiny',
        platform: { os: 'linux', architecture: 'arm64' },
        selection: {
          unpack: 'never',
          include: ['*.safetensors', 'config.json'],
          exclude: ['old/**'],
          subPath: 'weights',
        },
      },
      keep: true,
      intervalMs: 90_000,
      nodeSelector: { accelerator: 'a100', zone: '' },
    },
  ]);
});

test('JSON is accepted, an empty list too, and entries that differ in their selector', () => {
  assert.deepEqual(parse('{"artifacts": []}'), []);
  const [one, other] = parse(`artifacts:
  - { reference: "a/b:c", nodeSelector: { zone: x } }
  - { reference: "a/b:c", nodeSelector: { zone: y } }
`);
  assert.deepEqual([one?.nodeSelector, other?.nodeSelector], [{ zone: 'x' }, { zone: 'y' }]);
});

const refusals: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ['no list', '{}', /it has no artifacts$/],
  ['an unknown field', 'prefetch: []', /line 1: prefetch is an unknown field/],
  ['no reference', 'artifacts:\n  - keep: true', /line 2: artifacts\[0\] has no reference$/],
  [
    'an attribute that is no field of an entry',
    'artifacts:\n  - { reference: "a/b:c", pullPolicy: Always }',
    /line 2: .*pullPolicy is an unknown field/,
  ],
  [
    'a bad reference',
    'artifacts:\n  - reference: "ghcr.io/Acme/x:1"',
    /line 2: artifacts\[0\] is refused: .*"ghcr.io\/Acme\/x:1"/,
  ],
  [
    'a bad glob',
    'artifacts:\n  - { reference: "a/b:c", include: "a,,b" }',
    /line 2: .*is refused: invalid volume attribute include "a,,b"/,
  ],
  [
    'an interval of a digest',
    `artifacts:\n  - { reference: "a/b@${digest}", interval: 1h }`,
    /interval is for tags, and a digest never moves; leave it out$/,
  ],
  [
    'an interval without a unit',
    'artifacts:\n  - { reference: "a/b:c", interval: 5 }',
    /^line 2: artifacts\[0\]\.interval must have a unit, such as 1h$/,
  ],
  [
    'a short interval',
    'artifacts:\n  - { reference: "a/b:c", interval: 59s }',
    /interval: invalid value ".*": must be 1m at least$/,
  ],
  [
    'no interval',
    'artifacts:\n  - { reference: "a/b:c", interval: soon }',
    /interval is refused: invalid duration "soon"/,
  ],
  [
    'the same entry twice',
    'artifacts:\n  - { reference: "a/b:c" }\n  - { reference: "a/b:c", keep: false }',
    /line 3: artifacts\[1\] lists "a\/b:c" again, as line 2 does/,
  ],
];
for (const [what, text, message] of refusals) {
  test(`${what} is refused`, () => {
    assert.throws(() => parse(text), { code: 'invalid', message });
  });
}

test('a long list is read in linear time, up to a bound', () => {
  const listOf = (count: number): string =>
    `artifacts:\n${Array.from({ length: count }, (_, nth) => `  - reference: r.example/m${nth}:v1\n`).join('')}`;
  assert.equal(parse(listOf(5_000)).length, 5_000);
  assert.throws(() => parse(listOf(10_000)), { code: 'invalid', message: /list fewer artifacts$/ });
  const repeated = `${Array.from({ length: 20_000 }, (_, nth) => `k${nth}: 1`).join('\n')}\nk7: 2`;
  const start = cpuTime();
  assert.throws(() => parse(repeated), {
    message: /^line 20001: it is not plain YAML: Map keys must be unique/,
  });
  assert.ok(cpuTime() - start < 2_500);
});
