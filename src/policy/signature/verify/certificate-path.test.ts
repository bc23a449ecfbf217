import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sequence, text, tlv } from '../../../../test/support/signing/der.ts';
import {
  altNames,
  type Extension,
  extension,
  type Issued,
  isAuthority,
  keyUsage,
  makePair,
  makeX509,
  nameConstraints,
  oids,
  purposes,
} from '../../../../test/support/signing/x509.ts';
import { ArtifactError } from '../../../util/error.ts';
import { parseCertificate } from './certificate-form.ts';
import { codeSigning, findFlaw, timeStamping } from './certificate-path.ts';

const now = new Date();
const key = makePair();
const signs = [keyUsage(5, 6), isAuthority()];
const root = makeX509({ subject: 'root', key, extensions: signs });
const email = altNames(['email:test-user@example.com'], true);
const signer = [keyUsage(0), purposes([oids.codeSigning]), email];

function intermediate(...extensions: readonly Extension[]): Issued {
  return makeX509({ subject: 'intermediate', key: makePair(), issuer: root, extensions });
}

/** Returns what is wrong with a path through an intermediate, or with a certificate. */
function flawOf(leaf: Issued, ...intermediates: readonly Issued[]): string | undefined {
  try {
    const others = intermediates.map(({ der }) => parseCertificate(der));
    const authorities = { roots: [parseCertificate(root.der)], intermediates: others };
    return findFlaw(parseCertificate(leaf.der), authorities, now, codeSigning);
  } catch (thrown) {
    if (thrown instanceof ArtifactError && thrown.code === 'invalid') return thrown.message;
    throw thrown;
  }
}

function issue(issuer: Issued, extensions: readonly Extension[] = signer): Issued {
  return makeX509({ subject: 'leaf', key: makePair(), issuer, extensions });
}

describe('a path is accepted', () => {
  const cases: readonly [what: string, extensions: readonly Extension[]][] = [
    ['by way of an intermediate', signs],
    ['whose intermediate is for code signing', [...signs, purposes([oids.codeSigning])]],
    [
      'whose intermediate permits the name',
      [...signs, nameConstraints({ permitted: ['email:example.com'] })],
    ],
    ['whose intermediate excludes others', [...signs, nameConstraints({ excluded: ['email:other.org'] })]],
    [
      'whose intermediate constrains names of another kind',
      [...signs, nameConstraints({ permitted: ['uri:other.org', 'dns:other.org'] })],
    ],
    [
      'whose intermediate constrains directory names, which fit',
      [...signs, nameConstraints({ permitted: ['directory:leaf'] })],
    ],
  ]; // prettier-ignore
  for (const [what, extensions] of cases) {
    test(what, () => {
      const issuer = intermediate(...extensions);
      assert.equal(flawOf(issue(issuer), issuer), undefined);
    });
  }

  test('with two permitted names', () => {
    const issuer = intermediate(
      ...signs,
      nameConstraints({ permitted: ['email:example.com', 'email:other.org'] }),
    );
    const both = [keyUsage(0), altNames(['email:a@example.com', 'email:b@other.org'])];
    assert.equal(flawOf(issue(issuer, both), issuer), undefined);
  });
});

describe('a path is refused whose intermediate', () => {
  const cases: readonly [what: string, extensions: readonly Extension[], why: RegExp][] = [
    ...[true, false].flatMap((critical): readonly [string, readonly Extension[], RegExp][] => [
      [
        `permits other names${critical ? ', critically' : ''}`,
        [...signs, nameConstraints({ permitted: ['email:other.org'] }, critical)],
        /permitted subtree/,
      ],
      [
        `excludes the name${critical ? ', critically' : ''}`,
        [...signs, nameConstraints({ excluded: ['email:example.com'] }, critical)],
        /excluded subtree/,
      ],
    ]),
    [
      'constrains directory names, which do not fit',
      [...signs, nameConstraints({ permitted: ['directory:other'] })],
      /permitted subtree/,
    ],
    ['has an unknown critical extension', [...signs, extension(oids.unknown, text('x'), true)], /not known/],
    ['has an extension twice', [...signs, ...signs], /twice/],
    ['is no CA', [keyUsage(5, 6)], /issuer/],
    ['may sign no certificates', [isAuthority(), keyUsage(0)], /issuer/],
    ['is for servers', [...signs, purposes([oids.serverAuth])], /issuer/],
    ['is for timestamps', [...signs, purposes([oids.timeStamping])], /issuer/],
  ];
  for (const [what, extensions, why] of cases) {
    test(what, () => {
      const issuer = intermediate(...extensions);
      assert.match(flawOf(issue(issuer), issuer) ?? '', why);
    });
  }

  test('issues another one, although its path length is 0', () => {
    const first = intermediate(keyUsage(5, 6), isAuthority(0));
    const second = makeX509({ subject: 'second', key: makePair(), issuer: first, extensions: signs });
    assert.match(flawOf(issue(second), first, second) ?? '', /path length/);
    assert.equal(flawOf(issue(first), first), undefined);
  });

  test('is not among the known ones', () => {
    assert.match(flawOf(issue(intermediate(...signs))) ?? '', /issuer/);
  });

  test('is one of very many', () => {
    const issuer = intermediate(...signs);
    assert.match(
      flawOf(issue(issuer), ...Array.from({ length: 17 }, () => issuer)) ?? '',
      /16 are looked at/,
    );
  });
});

describe('a certificate is refused that', () => {
  const issuerExtension = extension(oids.fulcioIssuer, text('https://accounts.example.com'));
  const cases: readonly [what: string, extensions: readonly Extension[], why: RegExp][] = [
    [
      'has an unknown critical extension',
      [extension(oids.unknown, text('x'), true)],
      /critical .*99\.1, which is/,
    ],
    ['names its OpenID issuer twice', [issuerExtension, issuerExtension], /57264\.1\.8 twice/],
    ['has two key usages', [keyUsage(0)], /2\.5\.29\.15 twice/],
    [
      'has bytes after the content of an extension',
      [extension('2.5.29.31', Buffer.concat([sequence(), Buffer.of(0)]))],
      /2\.5\.29\.31 whose content cannot be read/,
    ],
  ];
  for (const [what, extensions, why] of cases) {
    test(what, () => assert.match(flawOf(issue(root, [...signer, ...extensions])) ?? '', why));
  }

  const forms: readonly [what: string, leaf: () => Issued, why: RegExp][] = [
    ['is for servers', () => issue(root, [email, purposes([oids.serverAuth])]), /not for code signing/],
    ['has a name that is not ASCII', () => issue(root, [altNames(['email:j\u00e4ne@example.com'])]), /ASCII/],
    ['has a name with a zero in it', () => issue(root, [altNames(['email:a@example.com\0.org'])]), /ASCII/],
    ['has a URI that is none', () => issue(root, [altNames(['uri:example.com'])]), /as a URI/],
    [
      'has a name of no kind',
      () => issue(root, [extension(oids.subjectAltName, sequence(text('x')))]),
      /a name/,
    ],
    [
      'has bytes after its end',
      () => makeX509({ subject: 'x', key, issuer: root, trailing: Buffer.of(0) }),
      /cannot be read/,
    ],
    ['is of version 1', () => makeX509({ subject: 'x', key, issuer: root, version: 0 }), /version 3/],
    [
      'has a small key',
      () => makeX509({ subject: 'x', key: makePair('rsa-1024'), issuer: root, extensions: signer }),
      /has a key that is not/,
    ],
    [
      'was signed with SHA-1',
      () => makeX509({ subject: 'x', key, issuer: root, extensions: signer, hash: 'sha1' }),
      /digest|weak/,
    ],
    [
      'is large',
      () => issue(root, [...signer, extension(oids.unknown, Buffer.alloc(65_536))]),
      /65\d+ bytes; 64 KiB are read/,
    ],
    [
      'is nested without end',
      () => {
        let inner: Buffer = Buffer.of(5, 0);
        for (let depth = 0; depth < 5000; depth += 1) inner = tlv(0x30, inner);
        return issue(root, [...signer, extension('2.5.29.31', inner)]);
      },
      /cannot be read/,
    ],
  ];
  for (const [what, leaf, why] of forms) {
    test(what, () => assert.match(flawOf(leaf()) ?? '', why));
  }
});

test('under name constraints, a name that verifiers read differently is refused', () => {
  const issuer = intermediate(...signs, nameConstraints({ permitted: ['uri:.example.com'] }));
  const flaw = (name: `uri:${string}`): string | undefined =>
    flawOf(issue(issuer, [altNames([name])]), issuer);
  assert.equal(flaw('uri:https://a.example.com/x'), undefined);
  for (const name of [
    'uri:https://a.example.com:x@other.org/',
    'uri:https://other.org?.example.com/',
    'uri:https://other.org#.example.com/',
    'uri:https://10.0.0.1/',
    'uri:https://0x0a000001/',
    'uri:urn:a.example.com',
  ] as const) {
    assert.match(flaw(name) ?? '', /name constraints, which cannot be applied to/, name);
  }
});

test('a certificate for timestamps is not valid for signing code', () => {
  const leaf = parseCertificate(issue(root, [purposes([oids.timeStamping], true)]).der);
  const authorities = { roots: [parseCertificate(root.der)], intermediates: [] };
  assert.equal(findFlaw(leaf, authorities, now, timeStamping), undefined);
  assert.equal(findFlaw(leaf, authorities, now, codeSigning), 'it is not for code signing');
});

test('invalid certificates are refused', () => {
  for (const bytes of [Buffer.of(), Buffer.from('x'), Buffer.of(0x30, 0), Buffer.from(root.pem)]) {
    assert.throws(() => parseCertificate(bytes), { code: 'invalid' });
  }
});
