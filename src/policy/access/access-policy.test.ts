import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toDigest } from '../../oci/digest.ts';
import { parseReference } from '../../oci/reference.ts';
import type { Labels } from '../../ports/kube.ts';
import { evaluateAccess, findLabelRule, parseAccessPolicy } from './access-policy.ts';

const digest = toDigest('sha256', 'ab'.repeat(32));

const policy = parseAccessPolicy(`
default: deny
rules:
  - name: nobody has the old one
    namespaces: ["*"]
    references: ["**/model-v0", "ghcr.io/acme/model:v0*"]
    action: deny
  - name: shops
    namespaces: [shop, "shop-*"]
    references: [ghcr.io/acme/*, "*.example.com*/**"]
    action: allow
  - namespaces: [dev]
    references: ["**"]
    action: allow
  - { namespaces: [prod], references: ["ghcr.io/acme/model:v1", "quay.io/**:stable", "r.io/te[sx]t?"], action: allow }
`);

const evaluated: readonly (readonly [namespace: string, reference: string, verdict: string])[] = [
  ['shop', 'ghcr.io/acme/model:v1', 'allow: its rule "shops" (line 8)'],
  ['shop', `ghcr.io/acme/model@${digest}`, 'allow: its rule "shops" (line 8)'],
  ['shop-eu', 'ghcr.io/acme/model:v1', 'allow: its rule "shops" (line 8)'],
  ['shop', 'ghcr.io/acme/deep/model:v1', 'deny: its default (line 2)'],
  ['shop', 'ghcr.io/acme.evil/model:v1', 'deny: its default (line 2)'],
  ['shop', 'a.example.com:5000/deep/model', 'allow: its rule "shops" (line 8)'],
  ['shop', 'example.com/model', 'deny: its default (line 2)'],
  ['workshop', 'ghcr.io/acme/model:v1', 'deny: its default (line 2)'],
  ['shop', 'ghcr.io/acme/model-v0:v9', 'deny: its rule "nobody has the old one" (line 4)'],
  ['dev', 'ghcr.io/acme/model:v0.1', 'deny: its rule "nobody has the old one" (line 4)'],
  ['dev', `ghcr.io/acme/model:v0.1@${digest}`, 'allow: its rule at line 12'],
  ['dev', 'docker.io/library/busybox', 'allow: its rule at line 12'],
  ['prod', 'ghcr.io/acme/model:v1', 'allow: its rule at line 15'],
  ['prod', 'ghcr.io/acme/model:v12', 'deny: its default (line 2)'],
  ['prod', 'ghcr.io/acme/model', 'deny: its default (line 2)'],
  ['prod', `ghcr.io/acme/model:v1@${digest}`, 'deny: its default (line 2)'],
  ['prod', `ghcr.io/acme/model@${digest}`, 'deny: its default (line 2)'],
  ['prod', 'quay.io/x/y:stable', 'allow: its rule at line 15'],
  ['prod', 'quay.io/x/y:unstable', 'deny: its default (line 2)'],
  ['prod', 'r.io/text1', 'allow: its rule at line 15'],
  ['', 'ghcr.io/acme/model:v1', 'deny: its default (line 2)'],
];

for (const [namespace, text, expected] of evaluated) {
  test(`${text.replace(digest, 'sha256:…')} in the namespace "${namespace}": ${expected}`, () => {
    const parsed = parseReference(text);
    assert.ok(parsed.kind === 'full');
    const { action, by } = evaluateAccess(policy, { name: namespace, labels: undefined }, parsed.reference);
    assert.equal(`${action}: ${by}`, expected);
  });
}

test('without rules the default decides', () => {
  const shop = { name: 'shop', labels: undefined };
  const reference = { registry: 'ghcr.io', path: 'acme/model', tag: 'v1' };
  for (const text of ['default: allow', 'default: allow\nrules: []', '{"default": "allow"}']) {
    assert.deepEqual(evaluateAccess(parseAccessPolicy(text), shop, reference), {
      action: 'allow',
      by: 'its default (line 1)',
    });
  }
});

const labelled = parseAccessPolicy(`
default: deny
rules:
  - { namespaces: [dev], references: ["**"], action: allow }
  - name: trusted
    namespaceSelector: { matchLabels: { trusted: "yes" } }
    references: [ghcr.io/acme/**]
    action: allow
  - { namespaces: ["*"], references: ["quay.io/**", "ghcr.io/acme/base"], action: allow }
`);

const byLabels: readonly (readonly [
  namespace: string,
  labels: Labels | undefined,
  reference: string,
  verdict: string,
])[] = [
  ['shop', { trusted: 'yes' }, 'ghcr.io/acme/model', 'allow: its rule "trusted" (line 5)'],
  ['shop', { trusted: 'no' }, 'ghcr.io/acme/model', 'deny: its default (line 2)'],
  ['shop', {}, 'ghcr.io/acme/model', 'deny: its default (line 2)'],
  ['shop', {}, 'ghcr.io/acme/base', 'allow: its rule at line 9'],
  ['shop', undefined, 'ghcr.io/acme/base', 'labels-needed: its rule "trusted" (line 5)'],
  ['dev', undefined, 'ghcr.io/acme/model', 'allow: its rule at line 4'],
  ['shop', undefined, 'quay.io/x/y', 'allow: its rule at line 9'],
  ['shop', undefined, 'ghcr.io/other/model', 'deny: its default (line 2)'],
];
for (const [name, labels, text, expected] of byLabels) {
  test(`${text} in "${name}" with labels ${JSON.stringify(labels) ?? 'not known'}: ${expected}`, () => {
    const parsed = parseReference(text);
    assert.ok(parsed.kind === 'full');
    const { action, by } = evaluateAccess(labelled, { name, labels }, parsed.reference);
    assert.equal(`${action}: ${by}`, expected);
  });
}

test('the first rule that needs labels is found', () => {
  assert.equal(findLabelRule(labelled), 'its rule "trusted" (line 5)');
  assert.equal(findLabelRule(policy), undefined);
});

const rule = (fields: string): string => `default: allow\nrules:\n  - action: deny\n    ${fields}\n`;
const reference = (glob: string): string =>
  rule(`{}\n`).replace('{}', `namespaces: [a]\n    references: ["${glob}"]`);

const refused: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  ['an empty file', '', /^line 1: it must be a map of fields$/],
  ['a list', '- a', /^line 1: it must be a map/],
  ['no default', 'rules: []', /^line 1: it has no default; write default: deny$/],
  [
    'a default that is neither',
    'default: yes',
    /^line 1: default: invalid value "yes": must be allow or deny$/,
  ],
  ['what is not YAML', 'default: allow\nrules: [', /^line 2: it is not plain YAML: /],
  [
    'two documents',
    'default: deny\n---\ndefault: allow',
    /^line 2: it is not plain YAML: .*multiple documents/,
  ],
  ['a key that is there twice', 'default: deny\ndefault: allow', /^line 2: .*keys must be unique/i],
  ['a tag', 'default: !choice deny', /^line 1: .*!choice/],
  [
    'an unknown field',
    'default: deny\n\nrule: []',
    /^line 3: rule is an unknown field(?: \(did you mean \w+\?\))?; the known fields are default, rules$/,
  ],
  ['a merge key', 'default: deny\n<<: {a: b}', /^line 2: \["<<"\] is an unknown field/],
  ['rules that are no list', 'default: deny\nrules: {}', /^line 2: rules must be a list of maps$/],
  ['rules without a value', 'default: deny\nrules:', /^line 2: rules must be a list of maps$/],
  [
    'an unknown field of a rule',
    rule('namespace: [a]'),
    /^line 4: rules\[0\]\.namespace is an unknown field/,
  ],
  [
    'an empty selector',
    rule('namespaceSelector: {}'),
    /^line 4: rules\[0\]\.namespaceSelector selects every namespace; write namespaces: \["\*"\]/,
  ],
  [
    'a wrong operator',
    rule('namespaceSelector: {matchExpressions: [{key: a, operator: Gt, values: ["1"]}]}'),
    /^line 4: rules\[0\]\.namespaceSelector\.matchExpressions\[0\]\.operator must be In, /,
  ],
  [
    'names and labels in one rule',
    rule('{}').replace('{}', 'namespaces: [a]\n    namespaceSelector: {matchLabels: {a: b}}'),
    /^line 3: rules\[0\] has namespaces and namespaceSelector; write a rule for each$/,
  ],
  [
    'a glob that is not valid',
    rule('namespaces: ["shop["]'),
    /^line 4: rules\[0\]\.namespaces\[0\]: invalid value "shop\[": its \[ has no \]; /,
  ],
  ['a rule without namespaces', rule('references: ["**"]'), /^line 3: rules\[0\] has no namespaces$/],
  ['a rule without references', rule('namespaces: [a]'), /^line 3: rules\[0\] has no references$/],
  [
    'a rule without action',
    'default: deny\nrules: [{namespaces: [a], references: ["**"]}]',
    /^line 2: rules\[0\] has no action$/,
  ],
  [
    'another action',
    'default: deny\nrules: [{namespaces: [a], references: ["**"], action: Deny}]',
    /must be allow or deny/,
  ],
  ['no namespace', rule('namespaces: []'), /^line 4: rules\[0\]\.namespaces must have one entry at least$/],
  ['a number', rule('namespaces: [7]'), /^line 4: rules\[0\]\.namespaces\[0\] must be text .*in quotes$/],
  [
    'a namespace in capitals',
    rule('namespaces: [Shop]'),
    /namespaces\[0\]: invalid value "Shop": matches no namespace/,
  ],
  ['a bare star', rule('namespaces: [*]'), /^line 4: .* put text that begins with \* in quotes/],
  [
    'an alias',
    rule('namespaces: [*-shop]'),
    /^line 4: rules\[0\]\.namespaces\[0\] cannot be an alias; put text that/,
  ],
  ['a name that is no text', rule('name: [a]'), /^line 4: rules\[0\]\.name must be text/],
  [
    'one star for all',
    reference('*'),
    /^line 5: rules\[0\]\.references\[0\]: invalid value "\*": matches no reference: .*write \*\* for all/,
  ],
  ['a short name', reference('busybox'), /names no registry; write registry\/repository$/],
  ['a glob of short names', reference('acme/*'), /acme is no registry; write registry\/repository in full/],
  ['another name of Docker Hub', reference('index.docker.io/**'), /is called docker\.io$/],
  [
    'a spelling that references do not have',
    reference('docker.io/busybox'),
    /write docker\.io\/library\/busybox or /,
  ],
  [
    'Docker Hub without namespaces',
    reference('docker.io/*'),
    /write docker\.io\/library\/\* or docker\.io\/\*\*$/,
  ],
  ['a digest', reference(`ghcr.io/a/b@${digest}`), /names are matched without digest/],
  ['a glob of digests', reference('ghcr.io/a/b@*'), /names are matched without digest/],
  ['capitals', reference('ghcr.io/Acme/*'), /only a tag has upper-case letters$/],
  ['capitals in a name', reference('ghcr.io/Acme/model'), /only a tag may have upper-case letters/],
  [
    'an IPv6 address in brackets',
    reference('[::1]:5000/**'),
    /for the brackets of an IPv6 address write \?$/,
  ],
];

for (const [what, text, message] of refused) {
  test(`${what} is refused, naming line and field`, () => {
    assert.throws(() => parseAccessPolicy(text), { code: 'invalid', message });
  });
}

const taken = [
  '**',
  '**/model',
  'ghcr.io**',
  'ghcr.io/**',
  'docker.io/library/*',
  'docker.io/**',
  'docker.io/library/busybox',
  'localhost/x',
  'localhost:5000/x:V1',
  '*/x',
  '*.internal/x/*:V[1-3]',
  '?::1?:5000/**',
];
for (const glob of taken) {
  test(`${glob} is a glob of references`, () => {
    assert.deepEqual(parseAccessPolicy(reference(glob)).rules[0]?.references, [glob]);
  });
}

test('a registry with the https port equals the registry without it', () => {
  const rules = parseAccessPolicy(`
default: allow
rules:
  - { namespaces: ["*"], references: ["ghcr.io:443/acme/*", "quay.io:443/x/y"], action: deny }
`);
  for (const text of ['ghcr.io/acme/a', 'ghcr.io:443/acme/a', 'quay.io/x/y', 'quay.io:443/x/y']) {
    const parsed = parseReference(text);
    assert.ok(parsed.kind === 'full');
    assert.equal(evaluateAccess(rules, { name: 'n', labels: undefined }, parsed.reference).action, 'deny');
  }
});
