import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { bits, boolean, integer, moment, nothing, octets, oid, sequence, text, tlv } from './der.ts';

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'rsa' | 'rsa-1024' | 'ed25519';

/** The OpenID issuer of Fulcio's extensions, and the purposes of certificates. */
export const oids = {
  subjectKey: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  policies: '2.5.29.32',
  authorityKey: '2.5.29.35',
  policyConstraints: '2.5.29.36',
  extendedKeyUsage: '2.5.29.37',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  anyPurpose: '2.5.29.37.0',
  fulcioIssuerText: '1.3.6.1.4.1.57264.1.1',
  fulcioIssuer: '1.3.6.1.4.1.57264.1.8',
  unknown: '1.3.6.1.4.1.57264.99.1',
} as const;

export type Pair = { readonly privateKey: KeyObject; readonly publicKey: KeyObject };

export function makePair(kind: KeyKind = 'P-256'): Pair {
  switch (kind) {
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'rsa-1024':
      return generateKeyPairSync('rsa', { modulusLength: 1024 });
    case 'ed25519':
      return generateKeyPairSync('ed25519');
    default:
      return generateKeyPairSync('ec', { namedCurve: kind });
  }
}

export type Extension = Buffer;

export const extension = (id: string, value: Uint8Array, critical = false): Extension =>
  sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));

export const isAuthority = (pathLength?: number, critical = true): Extension =>
  extension(
    oids.basicConstraints,
    sequence(boolean(true), ...(pathLength === undefined ? [] : [integer(pathLength)])),
    critical,
  );

/** Bits by their number, as in RFC 5280: 0 is digitalSignature, 5 keyCertSign, 6 cRLSign. */
export function keyUsage(...used: readonly number[]): Extension {
  const byte = used.reduce((sum, bit) => sum | (0x80 >> bit), 0);
  return extension(oids.keyUsage, bits(Buffer.of(byte), 7 - Math.max(0, ...used)), true);
}

export const purposes = (ids: readonly string[], critical = false): Extension =>
  extension(oids.extendedKeyUsage, sequence(...ids.map(oid)), critical);

/** A name of a certificate: its kind and text, as in `email:jane@example.com`, or the bytes of any other. */
export type Name = `${'email' | 'dns' | 'uri' | 'directory' | 'ip'}:${string}` | Buffer;

function generalName(name: Name): Buffer {
  if (typeof name !== 'string') return name;
  const [kind = '', ...rest] = name.split(':');
  const value = rest.join(':');
  if (kind === 'directory') return tlv(0xa4, distinguishedName(value));
  if (kind === 'ip') return tlv(0x87, Buffer.from(value, 'hex'));
  return tlv({ email: 0x81, dns: 0x82, uri: 0x86 }[kind] ?? 0x80, Buffer.from(value));
}

export const altNames = (names: readonly Name[], critical = false): Extension =>
  extension(oids.subjectAltName, sequence(...names.map(generalName)), critical);

export function nameConstraints(
  subtrees: { readonly permitted?: readonly Name[]; readonly excluded?: readonly Name[] },
  critical = true,
): Extension {
  const list = (tag: number, names: readonly Name[] = []) =>
    names.length === 0 ? [] : [tlv(tag, ...names.map(name => sequence(generalName(name))))];
  const value = sequence(...list(0xa0, subtrees.permitted), ...list(0xa1, subtrees.excluded));
  return extension(oids.nameConstraints, value, critical);
}

const distinguishedName = (commonName: string): Buffer =>
  commonName === '' ? sequence() : sequence(tlv(0x31, sequence(oid('2.5.4.3'), text(commonName))));

/** The content of a certificate. `extensions` are used as given: in this order, including duplicates. */
export type CertificateOptions = {
  readonly subject: string;
  readonly key: Pair;
  /** The signer; the certificate itself by default. */
  readonly issuer?: Issued;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  readonly extensions?: readonly Extension[];
  readonly serial?: Buffer;
  /** 2 is version 3. */
  readonly version?: number;
  /** Bytes after the certificate, and the bytes of its signature. */
  readonly trailing?: Buffer;
  readonly alter?: (tbs: Buffer) => Buffer;
  /** Changes the signed parts, from the version to the extensions. */
  readonly reshape?: (parts: readonly Buffer[]) => readonly Buffer[];
  readonly hash?: 'sha1' | 'sha256' | 'sha384' | 'sha512';
};

export type Issued = {
  readonly subject: string;
  readonly key: Pair;
  /** The issuer's name and this certificate's number, in DER. */
  readonly id: readonly [issuer: Buffer, serial: Buffer];
  /** The signed bytes. */
  readonly tbs: Buffer;
  readonly der: Buffer;
  readonly pem: string;
};

const day = 24 * 3600 * 1000;
let serials = 0;

export function makeX509(options: CertificateOptions): Issued {
  const { subject, key, extensions = [], version = 2 } = options;
  const signer = options.issuer ?? { subject, key };
  serials += 1;
  const algorithm = signatureAlgorithm(signer.key.privateKey, options.hash);
  const serial = integer(options.serial ?? Buffer.from(`10${serials.toString(16).padStart(14, '0')}`, 'hex'));
  const issuerName = distinguishedName(signer.subject);
  const parts = [
    ...(version === 0 ? [] : [tlv(0xa0, integer(version))]),
    serial,
    algorithm.der,
    issuerName,
    sequence(
      moment(options.notBefore ?? new Date(Date.now() - day)),
      moment(options.notAfter ?? new Date(Date.now() + day)),
    ),
    distinguishedName(subject),
    key.publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length === 0 ? [] : [tlv(0xa3, sequence(...extensions))]),
  ];
  const tbs = sequence(...(options.reshape?.(parts) ?? parts));
  const signature = sign(algorithm.hash, tbs, signer.key.privateKey);
  const whole = sequence(options.alter?.(tbs) ?? tbs, algorithm.der, bits(signature));
  const der = options.trailing === undefined ? whole : Buffer.concat([whole, options.trailing]);
  return { subject, key, id: [issuerName, serial], tbs, der, pem: toPem(der) };
}

function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** As in a certificate, and the hash for node:crypto. */
export function signatureAlgorithm(
  key: KeyObject,
  wanted?: 'sha1' | 'sha256' | 'sha384' | 'sha512',
): { readonly der: Buffer; readonly hash: string | null } {
  const kind = key.asymmetricKeyType;
  if (kind === 'ed25519') return { der: sequence(oid('1.3.101.112')), hash: null };
  const curve = key.asymmetricKeyDetails?.namedCurve;
  const hash = wanted ?? (curve === 'secp384r1' ? 'sha384' : curve === 'secp521r1' ? 'sha512' : 'sha256');
  const last = { sha1: 0, sha256: 2, sha384: 3, sha512: 4 }[hash];
  if (kind === 'ec') {
    return { der: sequence(oid(hash === 'sha1' ? '1.2.840.10045.4.1' : `1.2.840.10045.4.3.${last}`)), hash };
  }
  const rsa = { sha1: 5, sha256: 11, sha384: 12, sha512: 13 }[hash];
  return { der: sequence(oid(`1.2.840.113549.1.1.${rsa}`), nothing), hash };
}
