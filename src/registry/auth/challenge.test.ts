import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseChallenges } from './challenge.ts';

const plain = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => ({ scheme, ...Object.fromEntries(parameters) }));

test('a Bearer challenge has realm, service and scope', () => {
  assert.deepEqual(
    plain(
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"',
    ),
    [
      {
        scheme: 'bearer',
        realm: 'https://auth.docker.io/token',
        service: 'registry.docker.io',
        scope: 'repository:a/b:pull',
      },
    ],
  );
});

test('commas and escaped quotes inside a quoted string are part of it', () => {
  assert.deepEqual(plain('Basic realm="a, b=\\"c\\", Bearer d"'), [
    { scheme: 'basic', realm: 'a, b="c", Bearer d' },
  ]);
});

test('several challenges in one header are split, with and without parameters', () => {
  assert.deepEqual(plain('Negotiate, NTLM TlRMTVNTUAA=, Basic realm="x" , Bearer realm="y", scope="z"'), [
    { scheme: 'negotiate' },
    { scheme: 'ntlm' },
    { scheme: 'basic', realm: 'x' },
    { scheme: 'bearer', realm: 'y', scope: 'z' },
  ]);
});

test('parameter names are case-insensitive, and the first of two duplicates counts', () => {
  assert.deepEqual(plain('BEARER Realm="one",REALM="two"'), [{ scheme: 'bearer', realm: 'one' }]);
});

test('an unquoted URL is parsed', () => {
  assert.deepEqual(plain('Bearer realm=https://auth.example/token,service=x'), [
    { scheme: 'bearer', realm: 'https://auth.example/token', service: 'x' },
  ]);
});

test('everything after an unreadable part is ignored', () => {
  assert.deepEqual(plain('Basic realm="x", "stray", Bearer realm="y"'), [{ scheme: 'basic', realm: 'x' }]);
  assert.deepEqual(plain(''), []);
});

const letters = fc.stringMatching(/^[a-z]{1,8}$/);
const challenge = fc.record({
  scheme: letters,
  parameters: fc.dictionary(letters, fc.stringMatching(/^[\x20-\x7e]{0,20}$/), { maxKeys: 4 }),
});

test('every formatted list of challenges is parsed back', () => {
  fc.assert(
    fc.property(fc.uniqueArray(challenge, { maxLength: 4, selector: ({ scheme }) => scheme }), challenges => {
      const header = challenges
        .map(({ scheme, parameters }) => {
          const list = Object.entries(parameters).map(
            ([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`,
          );
          return list.length === 0 ? scheme : `${scheme} ${list.join(', ')}`;
        })
        .join(', ');
      assert.deepEqual(
        parseChallenges(header).map(({ scheme, parameters }) => [scheme, [...parameters]]),
        challenges.map(({ scheme, parameters }) => [scheme, Object.entries(parameters)]),
      );
    }),
  );
});

test('duplicate challenges count once, and only the first 16 count', () => {
  const bearer = 'Bearer realm="x",scope="y"';
  assert.deepEqual(plain(Array(1_000).fill(bearer).join(', ')), [
    { scheme: 'bearer', realm: 'x', scope: 'y' },
  ]);
  const many = Array.from({ length: 4_000 }, (_, nth) => `scheme${nth}`);
  assert.deepEqual(
    plain(many.join(', ')),
    many.slice(0, 16).map(scheme => ({ scheme })),
  );
});

test('any text is parsed without an error', () => {
  fc.assert(fc.property(fc.string(), header => Array.isArray(parseChallenges(header))));
});
