import fc from 'fast-check';
import { sequence } from './der.ts';
import {
  altNames,
  type Extension,
  extension,
  type Issued,
  isAuthority,
  type KeyKind,
  keyUsage,
  makePair,
  makeX509,
  type Name,
  nameConstraints,
  oids,
  type Pair,
  purposes,
} from './x509.ts';
import { extensionOf, formOf, type Oddity, oddities } from './x509-oddities.ts';

/** The properties of a generated certificate; nearly all fields are valid in nearly all certificates. */
export type Spec = {
  readonly key: KeyKind;
  readonly basic: 'authority' | 'none' | 'no authority' | number;
  readonly usage: 'signing' | 'certificates' | 'crls' | 'none';
  readonly purposes: readonly string[] | undefined;
  readonly permitted: readonly Name[];
  readonly excluded: readonly Name[];
  readonly constraintsCritical: boolean;
  readonly names: readonly Name[];
  readonly validity: 'now' | 'past' | 'future';
  readonly oddity: Oddity;
};

/** From the root to the leaf. */
export type Chain = readonly Spec[];

export const names: readonly Name[] = [
  'email:jane@example.com',
  'email:jane@mail.example.com',
  'email:jane@other.org',
  'email:JANE@Example.com',
  'dns:example.com',
  'dns:a.example.com',
  'dns:other.org',
  'uri:https://example.com/x',
  'uri:https://a.example.com:8443/x',
  'uri:https://other.org/example.com',
  'uri:https://jane@other.org/',
  'uri:spiffe://example.com/jane',
  'uri:urn:jane',
  'uri:https://10.0.0.1/',
  'uri:https://other.org:x@example.com/',
  'uri:https://other.org?.example.com/',
  'uri:https://[::1]/',
  'ip:0a000001',
  'email:jane\u00e9@example.com',
  'email:no-at-sign',
];
export const constraints: readonly Name[] = [
  'email:example.com',
  'email:.example.com',
  'email:jane@example.com',
  'email:other.org',
  'dns:example.com',
  'dns:.example.com',
  'dns:other.org',
  'uri:example.com',
  'uri:.example.com',
  'uri:other.org',
  'ip:0a000000ff000000',
];
export const kinds: readonly KeyKind[] = ['P-256', 'P-384', 'P-521', 'rsa', 'ed25519', 'rsa-1024'];

const mostly = <T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 14, arbitrary: fc.constant(usual) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
const some = (list: readonly Name[], weight: number): fc.Arbitrary<readonly Name[]> =>
  fc.oneof(
    { weight: 10 - weight, arbitrary: fc.constant([]) },
    { weight, arbitrary: fc.uniqueArray(fc.constantFrom(...list), { minLength: 1, maxLength: 2 }) },
  );
const oddity = mostly<Oddity>('none', ...oddities);
const validity = mostly<Spec['validity']>('now', 'past', 'future');
const key = fc.oneof(
  { weight: 3, arbitrary: fc.constant<KeyKind>('P-256') },
  { weight: 1, arbitrary: fc.constantFrom(...kinds) },
);
const given = (...ids: readonly string[]): readonly string[] => ids;

const authority: fc.Arbitrary<Spec> = fc.record({
  key,
  basic: mostly<Spec['basic']>('authority', 0, 1, 'none', 'no authority'),
  usage: mostly<Spec['usage']>('certificates', 'none', 'crls', 'signing'),
  purposes: mostly<readonly string[] | undefined>(
    undefined,
    given(oids.codeSigning),
    given(oids.serverAuth),
    given(oids.anyPurpose),
    given(oids.serverAuth, oids.codeSigning),
  ),
  permitted: some(constraints, 2),
  excluded: some(constraints, 1),
  constraintsCritical: fc.boolean(),
  names: fc.constant([]),
  validity,
  oddity,
});

const leaf: fc.Arbitrary<Spec> = fc.record({
  key,
  basic: mostly<Spec['basic']>('none', 'no authority', 'authority'),
  usage: mostly<Spec['usage']>('signing', 'none', 'certificates'),
  purposes: mostly<readonly string[] | undefined>(
    given(oids.codeSigning),
    undefined,
    given(oids.serverAuth),
    given(oids.anyPurpose),
    given(oids.timeStamping, oids.codeSigning),
  ),
  permitted: fc.constant([]),
  excluded: fc.constant([]),
  constraintsCritical: fc.constant(false),
  names: some(names, 9),
  validity,
  oddity,
});

export const chains: fc.Arbitrary<Chain> = fc
  .tuple(fc.array(authority, { minLength: 1, maxLength: 3 }), leaf)
  .map(([authorities, last]) => [...authorities, last]);

const pairs = new Map<string, Pair>();

function pairFor(kind: KeyKind, position: number): Pair {
  const id = `${kind} ${position}`;
  const pair = pairs.get(id) ?? makePair(kind);
  pairs.set(id, pair);
  return pair;
}

const hour = 3_600_000;

/** The certificates of a chain, from the root to the leaf. */
export function makeChain(chain: Chain, now: Date): readonly Issued[] {
  const made: Issued[] = [];
  for (const [position, spec] of chain.entries())
    made.push(makeCertificate(spec, position, made.at(-1), now));
  return made;
}

function makeCertificate(spec: Spec, position: number, issuer: Issued | undefined, now: Date): Issued {
  const at = (hours: number): Date => new Date(now.getTime() + hours * hour);
  const [notBefore, notAfter] = { now: [-2, 2], past: [-4, -2], future: [2, 4] }[spec.validity].map(at);
  const { oddity, permitted, excluded } = spec;
  const usage = { signing: [0], certificates: [5, 6], crls: [6], none: [] }[spec.usage];
  const extensions: readonly Extension[] = [
    ...(spec.basic === 'authority' ? [isAuthority()] : []),
    ...(spec.basic === 'no authority' ? [extension(oids.basicConstraints, sequence(), true)] : []),
    ...(typeof spec.basic === 'number' ? [isAuthority(spec.basic)] : []),
    ...(usage.length > 0 ? [keyUsage(...usage)] : []),
    ...(spec.purposes === undefined ? [] : [purposes(spec.purposes)]),
    ...(permitted.length + excluded.length > 0
      ? [nameConstraints({ permitted, excluded }, spec.constraintsCritical)]
      : []),
    ...(spec.names.length > 0 ? [altNames(spec.names)] : []),
    ...extensionOf(oddity),
  ];
  return makeX509({
    subject: oddity === 'self-issued' && issuer !== undefined ? issuer.subject : `certificate ${position}`,
    key: pairFor(spec.key, position),
    extensions: oddity === 'version 1' ? [] : extensions,
    ...(issuer && { issuer }),
    ...(notBefore && { notBefore }),
    ...(notAfter && { notAfter }),
    ...formOf(oddity),
  });
}
