import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Labels } from '../ports/kube.ts';
import { matchesLabels, parseLabelSelector } from './label-selector.ts';
import { parseYaml } from './yaml.ts';

const parse = (text: string) => parseLabelSelector(parseYaml(text));

const rows: readonly (readonly [selector: string, labels: Labels, selected: boolean])[] = [
  ['matchLabels: {team: shop}', { team: 'shop', env: 'dev' }, true],
  ['matchLabels: {team: shop}', { team: 'shops' }, false],
  ['matchLabels: {team: shop}', {}, false],
  ['matchLabels: {team: shop, env: prod}', { team: 'shop', env: 'prod' }, true],
  ['matchLabels: {team: shop, env: prod}', { team: 'shop' }, false],
  ['matchLabels: {team: ""}', { team: '' }, true],
  ['matchLabels: {team: ""}', {}, false],
  ['matchLabels: {example.com/team: shop}', { 'example.com/team': 'shop' }, true],
  ['matchLabels: {constructor: shop}', {}, false],
  ['matchExpressions: [{key: env, operator: In, values: [dev, test]}]', { env: 'test' }, true],
  ['matchExpressions: [{key: env, operator: In, values: [dev, test]}]', { env: 'prod' }, false],
  ['matchExpressions: [{key: env, operator: In, values: [dev, test]}]', {}, false],
  ['matchExpressions: [{key: env, operator: NotIn, values: [prod]}]', { env: 'dev' }, true],
  ['matchExpressions: [{key: env, operator: NotIn, values: [prod]}]', { env: 'prod' }, false],
  ['matchExpressions: [{key: env, operator: NotIn, values: [prod]}]', {}, true],
  ['matchExpressions: [{key: env, operator: Exists}]', { env: '' }, true],
  ['matchExpressions: [{key: env, operator: Exists, values: []}]', {}, false],
  ['matchExpressions: [{key: toString, operator: Exists}]', {}, false],
  ['matchExpressions: [{key: env, operator: DoesNotExist}]', {}, true],
  ['matchExpressions: [{key: env, operator: DoesNotExist}]', { env: 'dev' }, false],
  ['{matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}', { a: 'b', c: 'd' }, true],
  ['{matchLabels: {a: b}, matchExpressions: [{key: c, operator: Exists}]}', { a: 'b' }, false],
  ['matchExpressions: [{key: a, operator: Exists}, {key: b, operator: Exists}]', { b: '1' }, false],
];
for (const [selector, labels, selected] of rows) {
  test(`${selector} ${selected ? 'selects' : 'does not select'} ${JSON.stringify(labels)}`, () => {
    assert.equal(matchesLabels(parse(selector), labels), selected);
  });
}

test('an empty selector, and one of empty parts, select everything where that is allowed', () => {
  for (const text of ['{}', 'matchLabels: {}', '{matchLabels: {}, matchExpressions: []}'])
    assert.equal(matchesLabels(parseLabelSelector(parseYaml(text), 'be-empty'), {}), true, text);
});

const expression = (fields: string): string => `matchExpressions:\n  - ${fields}`;

const refused: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ['an empty selector', '{}', /^line 1: it selects everything; write matchLabels/],
  ['no map', 'team', /must be a map of fields$/],
  ['an unknown field', 'matchLabel: {a: b}', /^line 1: matchLabel is an unknown field/],
  ['no labels', 'matchLabels: {}', /^line 1: matchLabels must have one label at least$/],
  ['labels as a list', 'matchLabels: [a]', /^line 1: matchLabels must be a map of fields$/],
  ['no expressions', 'matchExpressions: []', /matchExpressions must have one entry at least$/],
  ['a value that is no text', 'matchLabels: {a: true}', /matchLabels\.a must be text .*in quotes$/],
  ['a value that no label has', 'matchLabels: {a: "b c"}', /matchLabels\.a is no value that a label can/],
  ['a glob', 'matchLabels: {a: "b*"}', /is no value that a label can have$/],
  ['a value that is too long', `matchLabels: {a: ${'b'.repeat(64)}}`, /is no value that a label can have$/],
  ['a key that no label has', 'matchLabels: {-a: b}', /matchLabels\.-a is no key of a label$/],
  ['a key with an empty prefix', 'matchLabels: {/a: b}', /is no key of a label$/],
  ['a key with two slashes', 'matchLabels: {a/b/c: d}', /is no key of a label$/],
  ['a key with a prefix in capitals', 'matchLabels: {Example.com/a: b}', /is no key of a label$/],
  ['an expression without key', expression('operator: Exists'), /^line 2: matchExpressions\[0\] has no key$/],
  ['an expression without operator', expression('key: a'), /matchExpressions\[0\] has no operator$/],
  ['a key of an expression', expression('{key: a b, operator: Exists}'), /\[0\]\.key is no key of a label$/],
  [
    'another operator',
    expression('{key: a, operator: Equals, values: [b]}'),
    /^line 2: matchExpressions\[0\]\.operator must be In, NotIn, Exists, DoesNotExist$/,
  ],
  [
    'an operator in small letters',
    expression('{key: a, operator: in, values: [b]}'),
    /\.operator must be In, /,
  ],
  ['In without values', expression('{key: a, operator: In}'), /\[0\] has no values, which In needs$/],
  [
    'NotIn of nothing',
    expression('{key: a, operator: NotIn, values: []}'),
    /values must have one entry at least$/,
  ],
  [
    'Exists with values',
    expression('{key: a, operator: Exists, values: [b]}'),
    /values must be left out with Exists$/,
  ],
  [
    'an unknown field of an expression',
    expression('{key: a, operator: Exists, value: b}'),
    /\[0\]\.value is an unknown field(?: \(did you mean \w+\?\))?; the known fields are key, operator, values$/,
  ],
];
for (const [what, text, message] of refused) {
  test(`${what} is refused, naming line and field`, () => {
    assert.throws(() => parse(text), { code: 'invalid', message });
  });
}
