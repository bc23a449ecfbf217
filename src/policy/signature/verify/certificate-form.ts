import { X509Certificate } from 'node:crypto';
import { ASN1Obj, X509Certificate as ParsedCertificate } from '@sigstore/core';
import { ArtifactError } from '../../../util/error.ts';
import { quoteName } from '../../../util/name.ts';

/** A certificate in the accepted form, and the fields that are used here. */
export type Certificate = {
  readonly x509: X509Certificate;
  readonly parsed: ParsedCertificate;
  /** The content of each extension, by its object identifier. */
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly names: readonly GeneralName[];
  /** Object identifiers; undefined without this extension, and so without a limit. */
  readonly purposes: readonly string[] | undefined;
  /** Whether its key usage, if any, has digitalSignature. */
  readonly maySign: boolean;
};

type Extension = {
  readonly critical: boolean;
  readonly value: Buffer;
  readonly content: ASN1Obj | undefined;
};

/** A name of the subject. Fulcio writes user names into `otherName`. */
export type GeneralName = { readonly kind: 'email' | 'dns' | 'uri' | 'otherName'; readonly text: string };

const extendedKeyUsage = '2.5.29.37';
export const nameConstraints = '2.5.29.30';
const subjectAltName = '2.5.29.17';
const keyUsage = '2.5.29.15';
const fulcioUserName = '1.3.6.1.4.1.57264.1.7';

/** The extensions of RFC 5280 that path validation processes; any other critical one is unknown. */
const known = new Set([
  keyUsage,
  subjectAltName,
  '2.5.29.19', // basic constraints
  nameConstraints,
  '2.5.29.32', // policies, with their mappings and constraints
  '2.5.29.33',
  '2.5.29.36',
  '2.5.29.54',
  extendedKeyUsage,
]);

/** RFC 5280's own, and those of PKIX: their content is one DER value. */
const standard = /^(?:2\.5\.29|1\.3\.6\.1\.5\.5\.7\.1)\./;

/** The maximum bytes. Certificates have about 1 KiB, and with the longest keys about 3. */
const maxCertificateBytes = 65_536;

/**
 * Parses a certificate as strictly as Go's x509 does. OpenSSL, which verifies the path, uses the first of two duplicate
 * extensions, ignores bytes after the certificate or an extension's content, and supports more kinds of keys.
 *
 * @throws ArtifactError `invalid` with what is wrong.
 */
export function parseCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > maxCertificateBytes) throw malformed(`has ${bytes.length} bytes; 64 KiB are read`);
  try {
    return read(Buffer.from(bytes));
  } catch (thrown) {
    throw thrown instanceof ArtifactError ? thrown : malformed('cannot be read', thrown);
  }
}

function read(der: Buffer<ArrayBuffer>): Certificate {
  const root = ASN1Obj.parseBuffer(der);
  const x509 = new X509Certificate(der);
  const [version, serial] = root.subs[0]?.subs ?? [];
  if (version?.tag.isContextSpecific(0) !== true || version.subs[0]?.toInteger() !== 2n) {
    throw malformed('is not of version 3');
  }
  if ((serial?.toInteger() ?? -1n) < 0n) throw malformed('has a negative serial number');
  verifyKey(x509);
  const parsed = new ParsedCertificate(root);
  const extensions = readExtensions(parsed);
  return {
    x509,
    parsed,
    extensions,
    names: readNames(extensions.get(subjectAltName)),
    purposes: extensions.get(extendedKeyUsage)?.content?.subs.map(purpose => purpose.toOID()),
    maySign: (extensions.get(keyUsage)?.content?.toBitString()[0] ?? 1) === 1,
  };
}

function readExtensions(certificate: ParsedCertificate): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>();
  for (const entry of certificate.extensions) {
    const { subs } = entry;
    const [id, flag] = subs;
    const last = subs.at(-1);
    if (id?.tag.isOID() !== true || last?.tag.isOctetString() !== true || subs.length > 3) {
      throw malformed('has an extension that cannot be read');
    }
    const name = id.toOID();
    if (found.has(name)) throw malformed(`has the extension ${name} twice`);
    const critical = subs.length === 3 && flag?.toBoolean() === true;
    if (critical && !known.has(name))
      throw malformed(`has the critical extension ${name}, which is not known`);
    found.set(name, { critical, value: last.value, content: readContent(name, last.value) });
  }
  return found;
}

function readContent(name: string, value: Buffer): ASN1Obj | undefined {
  try {
    return ASN1Obj.parseBuffer(Buffer.from(value));
  } catch (thrown) {
    if (standard.test(name)) throw malformed(`has an extension ${name} whose content cannot be read`, thrown);
    return undefined;
  }
}

/** Names are ASCII. Kinds that are not used here, such as IP addresses, are omitted. */
function readNames(extension: Extension | undefined): readonly GeneralName[] {
  const kinds = { 1: 'email', 2: 'dns', 6: 'uri' } as const;
  return (extension?.content?.subs ?? []).flatMap(({ tag, value, subs }): readonly GeneralName[] => {
    if (!tag.isContextSpecific()) throw malformed('has a name that cannot be read');
    if (tag.number === 0) {
      const [id, wrapped] = subs;
      const text = wrapped?.subs[0]?.value.toString();
      return id?.toOID() === fulcioUserName && text !== undefined ? [{ kind: 'otherName', text }] : [];
    }
    if (tag.number === 7 && value.length !== 4 && value.length !== 16) {
      throw malformed('has an IP address that is none');
    }
    const kind = tag.number === 1 || tag.number === 2 || tag.number === 6 ? kinds[tag.number] : undefined;
    if (kind === undefined) return [];
    if (value.some(byte => byte === 0 || byte > 126)) throw malformed('has a name that is not ASCII');
    const text = value.toString('latin1');
    if (kind === 'uri' && !URL.canParse(text))
      throw malformed(`has ${quoteName(text)} as a URI, which it is not`);
    return [{ kind, text }];
  });
}

function verifyKey({ publicKey }: X509Certificate): void {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = publicKey;
  const curves = ['prime256v1', 'secp384r1', 'secp521r1'];
  if (kind === 'ed25519') return;
  if (kind === 'rsa' && (details?.modulusLength ?? 0) >= 2048 && (details?.modulusLength ?? 0) <= 8192)
    return;
  if (kind === 'ec' && curves.includes(details?.namedCurve ?? '')) return;
  throw malformed(
    'has a key that is not ECDSA on P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519',
  );
}

function malformed(why: string, cause?: unknown): ArtifactError {
  return new ArtifactError('invalid', `a certificate ${why}`, cause);
}
