import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ArtifactError } from '../util/error.ts';
import { formatProviderRequest, parseProviderResponse } from './provider-message.ts';

const v1 = 'credentialprovider.kubelet.k8s.io/v1';
const right = { kind: 'CredentialProviderResponse', apiVersion: v1, cacheKeyType: 'Image' };

test('a request contains what the plugin needs and nothing else', () => {
  assert.deepEqual(JSON.parse(formatProviderRequest(v1, { image: 'r.io/a' })), {
    kind: 'CredentialProviderRequest',
    apiVersion: v1,
    image: 'r.io/a',
  });
  const account = { image: 'r.io/a', token: 't', annotations: { a: 'b' } };
  assert.deepEqual(JSON.parse(formatProviderRequest(v1, account)), {
    kind: 'CredentialProviderRequest',
    apiVersion: v1,
    image: 'r.io/a',
    serviceAccountToken: 't',
    serviceAccountAnnotations: { a: 'b' },
  });
});

describe('an answer', () => {
  const taken: readonly (readonly [fields: unknown, expected: unknown])[] = [
    [{}, { cacheKeyType: 'Image', auth: {} }],
    [
      { auth: null, cacheDuration: null },
      { cacheKeyType: 'Image', auth: {} },
    ],
    [
      { cacheKeyType: 'Registry', cacheDuration: '0s' },
      { cacheKeyType: 'Registry', cacheMs: 0, auth: {} },
    ],
    [
      { cacheKeyType: 'Global', cacheDuration: '6h0m0s' },
      { cacheKeyType: 'Global', cacheMs: 21_600_000, auth: {} },
    ],
    [{ auth: { 'r.io': { username: 'u' } } }, { cacheKeyType: 'Image', auth: { 'r.io': { username: 'u' } } }],
  ];
  for (const [fields, expected] of taken) {
    test(`is accepted: ${JSON.stringify(fields)}`, () => {
      assert.deepEqual(
        parseProviderResponse(JSON.stringify({ ...right, ...(fields as object) }), v1),
        expected,
      );
    });
  }

  const refused: readonly (readonly [fields: unknown, message: RegExp])[] = [
    [{ kind: 'S3CRET' }, /is not of kind CredentialProviderResponse/],
    [{ apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1' }, /is not of apiVersion .*\/v1$/],
    [{ cacheKeyType: 'S3CRET' }, /no cacheKeyType of Image, Registry or Global/],
    [{ cacheDuration: 'S3CRET' }, /cacheDuration that is no duration/],
    [{ cacheDuration: 60 }, /cacheDuration that is no duration/],
    [{ auth: ['S3CRET'] }, /auth that is not an object/],
  ];
  for (const [fields, message] of refused) {
    test(`is refused: ${JSON.stringify(fields)}`, () => {
      assert.throws(
        () => parseProviderResponse(JSON.stringify({ ...right, ...(fields as object) }), v1),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'unavailable' &&
          message.test(thrown.message) &&
          !thrown.message.includes('S3CRET'),
      );
    });
  }

  test('of any content is accepted or refused, and never quoted', () => {
    const json = fc.oneof(
      fc.json(),
      fc.string().map(text => `S3CRET${text}`),
      fc
        .record({ kind: fc.json(), apiVersion: fc.json(), auth: fc.json() })
        .map(made => JSON.stringify(made)),
    );
    fc.assert(
      fc.property(json, text => {
        try {
          parseProviderResponse(text, v1);
        } catch (thrown) {
          assert.ok(thrown instanceof ArtifactError && !thrown.message.includes('S3CRET'));
          assert.equal(thrown.cause, undefined);
        }
      }),
    );
  });
});
