import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stringify } from 'yaml';
import { ArtifactError } from '../util/error.ts';
import { parseProviderConfig } from './providers.ts';

const provider = {
  name: 'ecr',
  apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
  matchImages: ['*.dkr.ecr.*.amazonaws.com'],
  defaultCacheDuration: '12h',
};
const tokenAttributes = {
  serviceAccountTokenAudience: 'sts',
  cacheType: 'ServiceAccount',
  requireServiceAccount: true,
};
const withProvider = (fields: Record<string, unknown>): Record<string, unknown> => ({
  apiVersion: 'kubelet.config.k8s.io/v1',
  kind: 'CredentialProviderConfig',
  providers: [{ ...provider, ...fields }],
});

test("kubelet's documented example is parsed, in YAML and JSON", () => {
  const document = withProvider({
    args: ['get-credentials', ''],
    env: [{ name: 'AWS_PROFILE', value: 'example' }, { name: 'EMPTY' }],
    tokenAttributes: {
      ...tokenAttributes,
      requiredServiceAccountAnnotationKeys: ['a.io/role'],
      optionalServiceAccountAnnotationKeys: ['a.io/tenant'],
    },
  });
  const expected = [
    {
      name: 'ecr',
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      matchImages: ['*.dkr.ecr.*.amazonaws.com'],
      defaultCacheMs: 43_200_000,
      args: ['get-credentials', ''],
      environment: { AWS_PROFILE: 'example', EMPTY: '' },
      tokenAttributes: {
        audience: 'sts',
        cacheType: 'ServiceAccount',
        required: true,
        requiredAnnotations: ['a.io/role'],
        optionalAnnotations: ['a.io/tenant'],
      },
    },
  ];
  assert.deepEqual(parseProviderConfig(JSON.stringify(document), 'f'), expected);
  assert.deepEqual(parseProviderConfig(stringify(document), 'f'), expected);
});

for (const version of ['v1', 'v1beta1', 'v1alpha1']) {
  test(`${version} of the configuration and of the protocol are accepted`, () => {
    const [parsed] = parseProviderConfig(
      JSON.stringify({
        ...withProvider({ apiVersion: `credentialprovider.kubelet.k8s.io/${version}` }),
        apiVersion: `kubelet.config.k8s.io/${version}`,
      }),
      'f',
    );
    assert.equal(parsed?.apiVersion, `credentialprovider.kubelet.k8s.io/${version}`);
    assert.deepEqual([parsed?.args, parsed?.environment, parsed?.tokenAttributes], [[], {}, undefined]);
  });
}

describe('what kubelet refuses is refused, by the name of the field', () => {
  const top = withProvider({});
  const rows: readonly (readonly [document: unknown, message: RegExp])[] = [
    ['S3CRET', /it must be a map of fields/],
    [{ ...top, kind: 'Pod' }, /kind: invalid value "Pod": must be CredentialProviderConfig/],
    [{ ...top, apiVersion: 'kubelet.config.k8s.io/v2' }, /apiVersion must be/],
    [{ ...top, providers: [] }, /providers must have one entry/],
    [{ ...top, providers: { a: 'S3CRET' } }, /providers must be a list/],
    [
      { ...top, extra: 1 },
      /extra is an unknown field(?: \(did you mean \w+\?\))?; the known fields are apiVersion, kind, providers/,
    ],
    [
      withProvider({ matchimages: ['a'] }),
      /providers\[0\]\.matchimages is an unknown field(?: \(did you mean \w+\?\))?; the known fields are/,
    ],
    [withProvider({ name: '' }), /providers\[0\]\.name/],
    [withProvider({ name: '../sh' }), /name: invalid value ".*": must be the name of a program/],
    [withProvider({ name: '..' }), /name: invalid value ".*": must be the name of a program/],
    [withProvider({ name: 'a b' }), /name: invalid value ".*": must be the name of a program/],
    [withProvider({ apiVersion: 'v1' }), /providers\[0\]\.apiVersion must be/],
    [withProvider({ matchImages: [] }), /matchImages must have one entry/],
    [withProvider({ matchImages: [''] }), /matchImages\[0\] must not be empty/],
    [withProvider({ defaultCacheDuration: undefined }), /has no defaultCacheDuration/],
    [
      withProvider({ defaultCacheDuration: '12' }),
      /defaultCacheDuration: invalid value ".*": must be a duration/,
    ],
    [
      withProvider({ defaultCacheDuration: '-1s' }),
      /defaultCacheDuration: invalid value ".*": must be a duration/,
    ],
    [withProvider({ args: [1] }), /args\[0\] must be text/],
    [withProvider({ env: [{ name: 'A', value: 5 }] }), /env\[0\]\.value must be text/],
    [withProvider({ env: [{ value: 'S3CRET' }] }), /env\[0\] has no name/],
    [withProvider({ env: { A: 'S3CRET' } }), /env must be a list/],
    [
      withProvider({ tokenAttributes: { ...tokenAttributes, cacheType: 'Pod' } }),
      /cacheType: invalid value "Pod": must be/,
    ],
    [withProvider({ tokenAttributes: { ...tokenAttributes, cacheType: undefined } }), /has no cacheType/],
    [
      withProvider({ tokenAttributes: { ...tokenAttributes, requireServiceAccount: 'yes' } }),
      /requireServiceAccount must be true or false/,
    ],
    [
      withProvider({ tokenAttributes: { ...tokenAttributes, serviceAccountTokenAudience: '' } }),
      /serviceAccountTokenAudience must not be empty/,
    ],
    [
      withProvider({
        tokenAttributes: {
          ...tokenAttributes,
          requireServiceAccount: false,
          requiredServiceAccountAnnotationKeys: ['a'],
        },
      }),
      /requireServiceAccount must be true where annotations are required/,
    ],
    [
      withProvider({
        tokenAttributes: {
          ...tokenAttributes,
          requiredServiceAccountAnnotationKeys: ['a'],
          optionalServiceAccountAnnotationKeys: ['a'],
        },
      }),
      /both required and optional/,
    ],
    [
      withProvider({ apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1', tokenAttributes }),
      /tokenAttributes needs apiVersion .*v1$/,
    ],
  ];
  for (const [document, message] of rows) {
    test(message.source, () => {
      assert.throws(
        () => parseProviderConfig(JSON.stringify(document), '/etc/p.yaml'),
        (thrown: unknown) =>
          thrown instanceof ArtifactError &&
          thrown.code === 'invalid' &&
          thrown.message.startsWith('/etc/p.yaml:1: ') &&
          message.test(thrown.message) &&
          !thrown.message.includes('S3CRET'),
      );
    });
  }

  test('what is neither YAML nor JSON', () => {
    assert.throws(() => parseProviderConfig('a: [S3CRET', 'f'), {
      code: 'invalid',
      message: 'f:1: it is neither YAML nor JSON',
    });
  });
});
