import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseJsonObject } from '../../configfile/json.ts';
import { parseRequirement } from './requirement.ts';
import { parseSubjectPattern } from './verify/subject.ts';

const parse = (value: unknown, strict = false) =>
  parseRequirement(parseJsonObject(JSON.stringify(value), 'default[0]'), strict);
const base64 = (text: string) => Buffer.from(text).toString('base64');
const path = (field: string, path: string) => ({ kind: 'path', field: `default[0].${field}`, path });
const data = (field: string, pem: string) => ({ kind: 'data', field: `default[0].${field}`, pem });
const identity = { kind: 'matchRepoDigestOrExact' };
const fulcio = { caPath: '/ca', oidcIssuer: 'https://issuer', subjectEmail: 'a@b.c' };
const rekor = { rekorPublicKeyPath: '/rekor' };
const logs = [path('rekorPublicKeyPath', '/rekor')];
const certified = {
  kind: 'fulcio',
  field: 'default[0].fulcio',
  ca: path('fulcio.caPath', '/ca'),
  oidcIssuer: 'https://issuer',
  subject: { kind: 'email', text: 'a@b.c' },
};
const trustedRootPath = '/root.json';
const trustedRoot = path('trustedRootPath', '/root.json');
const { ca: _, ...byRoot } = certified;

describe('every supported requirement and field', () => {
  const cases: readonly [written: object, read: object][] = [
    [{ type: 'insecureAcceptAnything' }, { kind: 'accept' }],
    [{ type: 'reject' }, { kind: 'reject' }],
    [signed({ keyPath: '/a' }), keys(path('keyPath', '/a'))],
    [signed({ keyPaths: ['/a', '/b'] }), keys(path('keyPaths[0]', '/a'), path('keyPaths[1]', '/b'))],
    [signed({ keyData: base64('PEM') }), keys(data('keyData', 'PEM'))],
    [
      signed({ keyDatas: [base64('A'), base64('B')] }),
      keys(data('keyDatas[0]', 'A'), data('keyDatas[1]', 'B')),
    ],
    [signed({ keyPath: '/a', ...rekor }), { ...keys(path('keyPath', '/a')), logs }],
    [
      signed({ keyPath: '/a', rekorPublicKeyPaths: ['/r', '/s'] }),
      {
        ...keys(path('keyPath', '/a')),
        logs: [path('rekorPublicKeyPaths[0]', '/r'), path('rekorPublicKeyPaths[1]', '/s')],
      },
    ],
    [
      signed({ keyPath: '/a', rekorPublicKeyData: base64('R') }),
      { ...keys(path('keyPath', '/a')), logs: [data('rekorPublicKeyData', 'R')] },
    ],
    [
      signed({ keyPath: '/a', rekorPublicKeyDatas: [base64('R')] }),
      { ...keys(path('keyPath', '/a')), logs: [data('rekorPublicKeyDatas[0]', 'R')] },
    ],
    [signed({ fulcio, ...rekor }), { kind: 'signed', signer: certified, logs, identity }],
    [
      signed({ fulcio: { ...fulcio, caPath: undefined, caData: base64('CA') }, ...rekor }),
      { kind: 'signed', signer: { ...certified, ca: data('fulcio.caData', 'CA') }, logs, identity },
    ],
    [signed({ keyPath: '/a', trustedRootPath }), { ...keys(path('keyPath', '/a')), trustedRoot }],
    [
      signed({ fulcio: { ...fulcio, caPath: undefined }, trustedRootPath }),
      { kind: 'signed', signer: byRoot, logs: [], trustedRoot, identity },
    ],
    [
      signed({ fulcio: { oidcIssuer: 'https://issuer', subject: 'https://a/b' }, trustedRootPath }),
      {
        kind: 'signed',
        signer: { ...byRoot, subject: { kind: 'exact', text: 'https://a/b' } },
        logs: [],
        trustedRoot,
        identity,
      },
    ],
    [
      signed({ fulcio: { ...fulcio, subjectEmail: undefined, subjectRegExp: 'a|b' }, ...rekor }),
      {
        kind: 'signed',
        signer: { ...certified, subject: parseSubjectPattern('a|b') },
        logs,
        identity,
      },
    ],
    [
      signed({ keyPath: '/a', signedIdentity: { type: 'matchRepository' } }),
      { ...keys(path('keyPath', '/a')), identity: { kind: 'matchRepository' } },
    ],
  ];
  for (const [written, read] of cases) {
    test(JSON.stringify(written), () => {
      assert.deepEqual(parse(written), { field: 'default[0]', ...read });
    });
  }
});

describe('everything else is unusable, and the field is named', () => {
  const key = { keyPath: '/a' };
  const cases: readonly [written: object, why: RegExp][] = [
    [{}, /^default\[0\]\.type must be insecureAcceptAnything, reject or sigstoreSigned$/],
    [{ type: 'acceptAnything' }, /^default\[0\]\.type: invalid value "acceptAnything": must be /],
    [{ type: 5 }, /^default\[0\]\.type must be text in quotes/],
    [
      { type: 'reject', keyPath: '/a' },
      /^default\[0\]\.keyPath is an unknown field(?: \(did you mean \w+\?\))?; the known fields are /,
    ],
    [
      { type: 'insecureAcceptAnything', comment: 'x' },
      /^default\[0\]\.comment is an unknown field(?: \(did you mean \w+\?\))?; the known fields are /,
    ],
    [{ type: 'signedBy', keyType: 'GPGKeys', keyPath: '/a' }, /^default\[0\]\.type: .*"signedBy".*cosign/],
    [{ type: 'signedBaseLayer', baseLayerIdentity: {} }, /does not verify "signedBaseLayer"/],
    [signed({ pki: { caRootsPath: '/a', subjectEmail: 'a@b.c' } }), /^default\[0\]\.pki: /],
    [signed({}), /exactly one of keyPath, keyPaths, keyData, keyDatas and fulcio; it has none/],
    [signed({ ...key, keyData: base64('A') }), /exactly one .* it has keyPath and keyData/],
    [signed({ ...key, fulcio, ...rekor }), /it has keyPath and fulcio/],
    [
      signed({ keypath: '/a' }),
      /^default\[0\]\.keypath is an unknown field(?: \(did you mean \w+\?\))?; the known fields are /,
    ],
    [
      signed({ keyPath: 'a.pub' }),
      /^default\[0\]\.keyPath: invalid value "a.pub": must be an absolute path$/,
    ],
    [signed({ keyPath: '' }), /^default\[0\]\.keyPath must not be empty$/],
    [signed({ keyPath: ['/a'] }), /^default\[0\]\.keyPath must be text in quotes/],
    [signed({ keyPaths: [] }), /^default\[0\]\.keyPaths must have one entry at least$/],
    [signed({ keyPaths: '/a' }), /^default\[0\]\.keyPaths must be a list/],
    [signed({ keyData: '-----BEGIN PUBLIC KEY-----' }), /^default\[0\]\.keyData must be PEM in base64$/],
    [signed({ keyDatas: [base64('A'), '!'] }), /^default\[0\]\.keyDatas\[1\] must be PEM in base64$/],
    [signed({ ...key, ...rekor, rekorPublicKeyData: base64('R') }), /only one of rekorPublicKeyPath/],
    [
      signed({ ...key, rekorPublicKeyPath: 'r' }),
      /^default\[0\]\.rekorPublicKeyPath: invalid value "r": must be an absolute/,
    ],
    [signed({ fulcio }), /^default\[0\]\.fulcio needs rekorPublicKeyPath/],
    [signed({ fulcio: 'x', ...rekor }), /^default\[0\]\.fulcio must be an object$/],
    [signed({ fulcio: { ...fulcio, caPath: undefined }, ...rekor }), /exactly one of caPath and caData/],
    [signed({ fulcio: { ...fulcio, caData: base64('A') }, ...rekor }), /exactly one of caPath and caData/],
    [signed({ fulcio: { ...fulcio, oidcIssuer: undefined }, ...rekor }), /both oidcIssuer and subjectEmail/],
    [signed({ fulcio: { ...fulcio, subjectEmail: '' }, ...rekor }), /fulcio\.subjectEmail must not be empty/],
    [
      signed({ fulcio: { ...fulcio, subjectURI: 'x' }, ...rekor }),
      /fulcio\.subjectURI is an unknown field(?: \(did you mean \w+\?\))?; the known fields are /,
    ],
    [
      signed({ ...key, ...rekor, trustedRootPath }),
      /only one of .* it has rekorPublicKeyPath and trustedRootPath/,
    ],
    [signed({ fulcio, trustedRootPath }), /fulcio\.caPath may not be beside default\[0\]\.trustedRootPath/],
    [
      signed({ ...key, trustedRootPath: 'root.json' }),
      /trustedRootPath: invalid value "root.json": must be an absolute path$/,
    ],
    [
      signed({ fulcio: { ...fulcio, subject: 'x' }, ...rekor }),
      /only one of subjectEmail, subject, subjectRegExp/,
    ],
    [
      signed({ fulcio: { ...fulcio, subjectEmail: undefined, subjectRegExp: '(' }, ...rekor }),
      /regular expression/,
    ],
    [
      signed({ fulcio: { ...fulcio, subjectEmail: undefined, subjectRegExp: 'a)|(b' }, ...rekor }),
      /regular expr/,
    ],
    [
      signed({ ...key, signedIdentity: { type: 'matchAny' } }),
      /^default\[0\]\.signedIdentity\.type: invalid value "matchAny": must be/,
    ],
  ];
  for (const [written, why] of cases) {
    test(JSON.stringify(written), () => {
      const read = parse(written);
      assert.equal(read.kind, 'unusable');
      assert.match(read.kind === 'unusable' ? read.why : '', why);
    });
  }
});

describe('in a strict policy, what containers does not know is unusable', () => {
  const subjects = [{ subject: 'x' }, { subjectRegExp: 'x' }];
  const written = [
    signed({ keyPath: '/a', trustedRootPath }),
    ...subjects.map(subject =>
      signed({ fulcio: { ...fulcio, subjectEmail: undefined, ...subject }, ...rekor }),
    ),
  ];
  for (const value of written) {
    test(JSON.stringify(value), () => {
      assert.equal(parse(value).kind, 'signed');
      const read = parse(value, true);
      assert.match(
        read.kind === 'unusable' ? read.why : '',
        /(?:trustedRootPath|subject|subjectRegExp) is a field that only this driver knows, which --strict-policy refuses/,
      );
    });
  }

  test('the identity matchDigest is unusable', () => {
    const written = signed({ keyPath: '/a', signedIdentity: { type: 'matchDigest' } });
    assert.equal(parse(written).kind, 'signed');
    const read = parse(written, true);
    assert.match(read.kind === 'unusable' ? read.why : '', /only this driver knows matchDigest, .*--strict/);
  });

  test('what it knows is usable', () =>
    assert.equal(parse(signed({ fulcio, ...rekor }), true).kind, 'signed'));
});

function signed(fields: object): object {
  return { type: 'sigstoreSigned', ...fields };
}

function keys(...materials: readonly object[]): object {
  return { kind: 'signed', signer: { kind: 'keys', keys: materials }, logs: [], identity };
}
