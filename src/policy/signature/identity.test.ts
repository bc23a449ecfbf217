import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseJsonObject } from '../../configfile/json.ts';
import { parseReference, type Reference } from '../../oci/reference.ts';
import { findMismatch, parseSignedIdentity } from './identity.ts';

const d1 = `sha256:${'1'.repeat(64)}`;
const d2 = `sha256:${'2'.repeat(64)}`;

/** A rule as written in the file, or only its type. */
function identity(rule: string | object) {
  const written = typeof rule === 'string' ? { type: rule } : rule;
  return parseSignedIdentity(parseJsonObject(JSON.stringify(written), 'default[0].signedIdentity'), false);
}

function reference(text: string): Reference {
  const parsed = parseReference(text);
  return parsed.kind === 'full' ? parsed.reference : assert.fail(`${text} is a short name`);
}

function mismatch(rule: string | object, wanted: string, signed: string): string | undefined {
  return findMismatch(identity(rule), reference(wanted), signed, 'default[0]');
}

type Case = readonly [wanted: string, signed: string, does: boolean];

const exact: readonly Case[] = [
  ['q.io/a/b:1', 'q.io/a/b:1', true],
  ['q.io/a/b:1', 'q.io/a/b:2', false],
  ['q.io/a/b:1', 'q.io/a/c:1', false],
  ['q.io/a/b:1', 'q.io/a/b', false],
  ['q.io/a/b:latest', 'q.io/a/b:latest', true],
  ['q.io/a/b:latest', 'q.io/a/b', false],
  ['q.io/a/b:1', `q.io/a/b@${d1}`, false],
  ['q.io/a/b:1', `q.io/a/b:1@${d1}`, false],
  [`q.io/a/b@${d1}`, `q.io/a/b@${d1}`, true],
  ['docker.io/library/b:1', 'b:1', true],
  ['docker.io/a/b:1', 'a/b:1', true],
  ['docker.io/library/b:1', 'index.docker.io/b:1', true],
  ['q.io:5000/b:1', 'q.io/b:1', false],
  ['q.io/b:1', 'Q.io/b:1', false],
  ['q.io/b:1', '', false],
  ['q.io/b:1', 'https://q.io/b:1', false],
];
const orDigest: readonly Case[] = [
  ...exact,
  [`q.io/a/b@${d1}`, 'q.io/a/b:1', true],
  [`q.io/a/b@${d1}`, `q.io/a/b@${d2}`, true],
  [`q.io/a/b:1@${d1}`, 'q.io/a/b:2', true],
  [`q.io/a/b@${d1}`, 'q.io/a/b', false],
  [`q.io/a/b@${d1}`, 'q.io/a/c:1', false],
];
const tables: readonly [rule: string | object, cases: readonly Case[]][] = [
  ['matchExact', [...exact, [`q.io/a/b@${d1}`, 'q.io/a/b:1', false]]],
  ['matchRepoDigestOrExact', orDigest],
  [
    'matchRepository',
    [
      ['q.io/a/b:1', 'q.io/a/b', true],
      ['q.io/a/b:1', 'q.io/a/b:2', true],
      [`q.io/a/b@${d1}`, `q.io/a/b@${d2}`, true],
      ['docker.io/library/b:1', 'b', true],
      ['q.io/a/b:1', 'q.io/a', false],
      ['q.io/a/b:1', 'q.io/a/b/c', false],
      ['q.io/a/b:1', 'q.io/a/b:', false],
    ],
  ],
  [
    { type: 'exactReference', dockerReference: 'busybox:1' },
    [
      ['q.io/mirror/b:9', 'docker.io/library/busybox:1', true],
      ['q.io/mirror/b:9', 'busybox:2', false],
      ['q.io/mirror/b:9', 'busybox', false],
      ['q.io/mirror/b:9', 'q.io/mirror/b:9', false],
    ],
  ],
  [
    { type: 'exactRepository', dockerRepository: 'q.io/source' },
    [
      ['q.io/mirror/b:9', 'q.io/source', true],
      ['q.io/mirror/b:9', 'q.io/source:5', true],
      ['q.io/mirror/b:9', 'q.io/mirror/b:9', false],
    ],
  ],
  [
    { type: 'remapIdentity', prefix: 'q.io/mirror', signedPrefix: 'docker.io/library' },
    [
      ['q.io/mirror/b:1', 'docker.io/library/b:1', true],
      ['q.io/mirror/b:1', 'b:1', true],
      ['q.io/mirror/b:1', 'q.io/mirror/b:1', false],
      ['q.io/mirror/b:1', 'docker.io/library/b', false],
      [`q.io/mirror/b@${d1}`, 'b:7', true],
      ['q.io/mirrors/b:1', 'q.io/mirrors/b:1', true],
      ['q.io/mirrors/b:1', 'docker.io/librarys/b:1', false],
      ['other.io/q.io/mirror:1', 'other.io/q.io/mirror:1', true],
    ],
  ],
  [
    { type: 'remapIdentity', prefix: 'q.io:5000', signedPrefix: 'source.io/a/b' },
    [
      ['q.io:5000/c:1', 'source.io/a/b/c:1', true],
      ['q.io:50001/c:1', 'source.io/a/b1/c:1', false],
      ['q.io/c:1', 'q.io/c:1', true],
    ],
  ],
  [
    // docker.io/b is not a full name: docker.io/library/b is.
    { type: 'remapIdentity', prefix: 'q.io/mirror', signedPrefix: 'docker.io' },
    [['q.io/mirror/b:1', 'docker.io/library/b:1', false]],
  ],
];

for (const [rule, cases] of tables) {
  describe(JSON.stringify(rule), () => {
    for (const [wanted, signed, does] of cases) {
      test(`${wanted} ${does ? 'is satisfied by' : 'is not satisfied by'} ${signed || 'nothing'}`, () => {
        assert.equal(mismatch(rule, wanted, signed) === undefined, does);
      });
    }
  });
}

test('without signedIdentity the rule is matchRepoDigestOrExact', () => {
  assert.deepEqual(parseSignedIdentity(undefined, true), { kind: 'matchRepoDigestOrExact' });
});

test('matchDigest accepts a signature for any name, and for none', () => {
  for (const signed of ['q.io/a/b:1', 'q.io/a/b', 'r.io/c', '']) {
    assert.equal(mismatch('matchDigest', 'q.io/a/b:1', signed), undefined);
  }
});

test('each mismatch reports what to change, and where', () => {
  assert.match(
    mismatch('matchRepoDigestOrExact', 'q.io/a/b:1', 'q.io/a/b') ?? '',
    /for the repository q\.io\/a\/b without a tag.*; set signedIdentity matchRepository .* at default\[0\]$/,
  );
  assert.match(
    mismatch('matchExact', 'q.io/a/b:1', 'q.io/a/b:2') ?? '',
    /^it was made for q\.io\/a\/b:2, and matchExact wants q\.io\/a\/b:1; sign that, or set signedIdentity matchRepository/,
  );
  assert.match(
    mismatch('matchRepository', 'q.io/a/b:1', 'q.io/a/c') ?? '',
    /for another repository, q\.io\/a\/c, and matchRepository wants q\.io\/a\/b; .*exactRepository or remapIdentity/,
  );
  assert.match(
    mismatch({ type: 'exactReference', dockerReference: 'q.io/s:1' }, 'q.io/a/b:1', 'q.io/s') ?? '',
    /set signedIdentity exactRepository .*"dockerRepository": "q\.io\/s"/,
  );
  assert.match(
    mismatch('matchRepository', 'q.io/a/b:1', 'x\u001b[2J') ?? '',
    /made for "x\\x1b\[2J", which is no reference/,
  );
});

describe('an invalid rule is refused by its field', () => {
  const cases: readonly [rule: object, message: RegExp][] = [
    [{}, /signedIdentity\.type must be/],
    [{ type: 'matchExact', prefix: 'x' }, /signedIdentity\.prefix is an unknown field/],
    [{ type: 'matchDigest', digest: 'x' }, /signedIdentity\.digest is an unknown field/],
    [{ type: 'exactReference' }, /dockerReference must be a reference/],
    [
      { type: 'exactReference', dockerReference: 'q.io/x' },
      /dockerReference: invalid value "q.io\/x": must have a tag or a digest/,
    ],
    [
      { type: 'exactRepository', dockerRepository: 'Q' },
      /dockerRepository: invalid value "Q": must be a reference/,
    ],
    [{ type: 'remapIdentity', prefix: 'q.io' }, /signedPrefix must be host/],
    [
      { type: 'remapIdentity', prefix: 'q.io/x:1', signedPrefix: 'q.io' },
      /prefix: invalid value ".*": must be host/,
    ],
    [
      { type: 'remapIdentity', prefix: 'library', signedPrefix: 'q.io' },
      /prefix: invalid value "library": must be host/,
    ],
    [
      { type: 'remapIdentity', prefix: 'q.io/', signedPrefix: 'q.io' },
      /prefix: invalid value ".*": must be host/,
    ],
  ];
  for (const [rule, message] of cases) {
    test(JSON.stringify(rule), () => assert.throws(() => identity(rule), { code: 'invalid', message }));
  }
});

test('any content of a signature gets a verdict', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), signed => {
      const why = mismatch('matchRepository', 'q.io/a/b:1', signed);
      assert.ok(why === undefined ? signed.startsWith('q.io/a/b') : why.length > 0);
    }),
  );
});
