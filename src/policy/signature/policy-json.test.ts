import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { findIdleScopes, findRule, parsePolicy } from './policy-json.ts';

const accept = { type: 'insecureAcceptAnything' };

function reference(text: string): Reference {
  const parsed = parseReference(text);
  assert.equal(parsed.kind, 'full');
  return parsed.kind === 'full' ? parsed.reference : assert.fail();
}

function policyOf(...scopes: readonly string[]) {
  const docker = Object.fromEntries(scopes.map(scope => [scope, [accept]]));
  return parsePolicy(JSON.stringify({ default: [{ type: 'reject' }], transports: { docker } }));
}

const digest = `sha256:${'a'.repeat(64)}`;

describe('the longest scope wins', () => {
  const scopes = [
    `quay.io:5443/acme/team/model@${digest}`,
    'quay.io:5443/acme/team/model:1',
    'quay.io:5443/acme/team/model',
    'quay.io:5443/acme/team',
    'quay.io:5443/acme',
    'quay.io:5443',
    '*.io',
    '',
  ];
  const cases: readonly [reference: string, scope: string][] = [
    ['quay.io:5443/acme/team/model:1', 'quay.io:5443/acme/team/model:1'],
    [`quay.io:5443/acme/team/model@${digest}`, `quay.io:5443/acme/team/model@${digest}`],
    [`quay.io:5443/acme/team/model:1@${digest}`, `quay.io:5443/acme/team/model@${digest}`],
    ['quay.io:5443/acme/team/model:2', 'quay.io:5443/acme/team/model'],
    ['quay.io:5443/acme/team/models:1', 'quay.io:5443/acme/team'],
    ['quay.io:5443/acme/team2/model:1', 'quay.io:5443/acme'],
    ['quay.io:5443/acme2/model:1', 'quay.io:5443'],
    ['quay.io/acme/team/model:1', '*.io'],
    ['ghcr.io:8443/x:1', '*.io'],
    ['localhost:5000/x:1', ''],
  ];
  for (const [text, scope] of cases) {
    test(`${text}: ${scope === '' ? 'the empty scope' : scope}`, () => {
      const policy = policyOf(...scopes);
      assert.equal(findRule(policy, reference(text)), policy.scopes.get(scope));
    });
  }

  test('of wildcards, the longest domain; never the domain itself', () => {
    const policy = policyOf('*.example.com', '*.b.example.com', '*.com');
    const fieldOf = (text: string) => findRule(policy, reference(text)).field;
    assert.equal(fieldOf('a.b.example.com:5000/x:1'), 'transports.docker["*.b.example.com"]');
    assert.equal(fieldOf('b.example.com/x:1'), 'transports.docker["*.example.com"]');
    assert.equal(fieldOf('example.com/x:1'), 'transports.docker["*.com"]');
  });

  test('docker.io is matched in full', () => {
    const policy = policyOf('docker.io/library/busybox', 'busybox');
    const fieldOf = (text: string) => findRule(policy, reference(text)).field;
    assert.equal(fieldOf('docker.io/busybox:1'), 'transports.docker["docker.io/library/busybox"]');
    assert.equal(fieldOf('docker.io/busybox2:1'), 'default');
  });
});

test('scopes that no reference can match are found', () => {
  const policy = policyOf(
    'quay.io',
    'localhost',
    'docker.io/openshift',
    `quay.io/x@${digest}`,
    '*.example.com',
    '',
    'busybox',
    'https://quay.io',
    'quay.io/',
    '*.example.com/x',
    'Quay.io/x',
    'docker.io/library/busybox:1',
    'index.docker.io/acme',
    'docker.io/busybox:1',
    `quay.io/x:1@${digest}`,
  );
  assert.deepEqual(findIdleScopes(policy), [
    'transports.docker.busybox',
    'transports.docker["https://quay.io"]',
    'transports.docker["quay.io/"]',
    'transports.docker["*.example.com/x"]',
    'transports.docker["Quay.io/x"]',
    'transports.docker["index.docker.io/acme"]',
    'transports.docker["docker.io/busybox:1"]',
    `transports.docker["quay.io/x:1@${digest}"]`,
  ]);
});

test('other transports concern no registry and are ignored', () => {
  const policy = parsePolicy(
    JSON.stringify({
      default: [accept],
      transports: { 'docker-daemon': { '': [{ type: 'signedBy' }] }, mine: { x: [] } },
    }),
  );
  assert.equal(policy.scopes.size, 0);
});

describe('a document of another shape is an error as a whole', () => {
  const cases: readonly [document: unknown, why: string | RegExp][] = [
    [{}, 'default is missing; write "default": [{"type": "reject"}]'],
    [{ default: [] }, 'default must have one entry at least'],
    [{ default: accept }, 'default must be a list of objects'],
    [
      { default: [accept], defualt: [] },
      'defualt is an unknown field (did you mean default?); the known fields are default, transports',
    ],
    [{ default: [accept], transports: [] }, 'transports must be an object'],
    [
      { default: [accept], transports: { dokcer: { 'quay.io': [accept] } } },
      'transports.dokcer is not a transport (did you mean docker?), so its rules would not be in force',
    ],
    [{ default: [accept], transports: { docker: [] } }, 'transports.docker must be an object'],
    [
      { default: [accept], transports: { docker: { 'quay.io': [] } } },
      'transports.docker["quay.io"] must have one entry at least',
    ],
  ];
  for (const [document, message] of cases) {
    test(JSON.stringify(document), () => {
      assert.throws(() => parsePolicy(JSON.stringify(document)), { code: 'invalid', message });
    });
  }
  test('a duplicate key', () => {
    assert.throws(() => parsePolicy('{"default": [{"type": "reject"}], "default": []}'), {
      message: /second time/,
    });
  });
});

test('the https port is removed from scopes, and requirements of both spellings must be met', () => {
  const reject = { type: 'reject' };
  const docker = { 'quay.io:443/acme': [accept], 'quay.io:443': [reject], 'quay.io': [accept] };
  const policy = parsePolicy(JSON.stringify({ default: [accept], transports: { docker } }));
  for (const host of ['quay.io', 'quay.io:443']) {
    const kinds = (name: string) =>
      findRule(policy, reference(`${host}/${name}`)).requirements.map(({ kind }) => kind);
    assert.deepEqual(kinds('acme/model'), ['accept']);
    assert.deepEqual(kinds('other/model'), ['reject', 'accept']);
  }
});
