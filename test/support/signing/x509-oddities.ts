import { boolean, integer, octets, oid, sequence, text, tlv } from './der.ts';
import { altNames, type CertificateOptions, type Extension, extension, keyUsage, oids } from './x509.ts';

const oddExtensions = [
  'an unknown extension',
  'an unknown critical extension',
  'an extension twice',
  'an unknown extension twice',
  'key usage twice',
  'an extension with bytes after its content',
  'an explicit flag',
  'a flag that is not DER',
  'a critical policy',
  'a wanted policy',
  'an empty alternative name',
  'the key identifier of another issuer',
] as const;
const oddForms = [
  'bytes after its end',
  'bytes after its extensions',
  'bytes after its key',
  'a length that is not minimal',
  'an empty list of extensions',
  'a unique identifier',
  'another algorithm inside',
  'an altered signature',
  'version 1',
  'version 2',
  'a negative serial number',
  'SHA-1',
  'self-issued',
] as const;

type Odd = (typeof oddExtensions)[number] | (typeof oddForms)[number];
export type Oddity = 'none' | Odd;

/** Properties that a certificate should not have, or rarely has. */
export const oddities: readonly Odd[] = [...oddExtensions, ...oddForms];

export function extensionOf(oddity: Oddity): readonly Extension[] {
  const unknown = octets(Buffer.of(1));
  const issuer = extension(oids.fulcioIssuer, text('https://accounts.example.com'));
  switch (oddity) {
    case 'an unknown extension':
      return [extension(oids.unknown, unknown)];
    case 'an unknown critical extension':
      return [extension(oids.unknown, unknown, true)];
    case 'an extension twice':
      return [issuer, issuer];
    case 'an unknown extension twice':
      return [extension(oids.unknown, unknown), extension(oids.unknown, unknown)];
    case 'key usage twice':
      return [keyUsage(0), keyUsage(0)];
    case 'an extension with bytes after its content':
      return [extension(oids.subjectKey, Buffer.concat([unknown, Buffer.of(0)]))];
    case 'an explicit flag':
      return [sequence(oid(oids.unknown), boolean(false), octets(Buffer.of(5, 0)))];
    case 'a flag that is not DER':
      return [sequence(oid(oids.unknown), tlv(1, Buffer.of(1)), octets(Buffer.of(5, 0)))];
    case 'a critical policy':
      return [extension(oids.policies, sequence(sequence(oid('1.2.3.4'))), true)];
    case 'a wanted policy':
      return [extension(oids.policyConstraints, sequence(Buffer.of(0x80, 1, 0)), true)];
    case 'an empty alternative name':
      return [altNames([])];
    case 'the key identifier of another issuer':
      return [extension(oids.authorityKey, sequence(tlv(0x80, Buffer.alloc(20, 7))))];
    default:
      return [];
  }
}

export function formOf(oddity: Oddity): Partial<CertificateOptions> {
  switch (oddity) {
    case 'bytes after its end':
      return { trailing: integer(0) };
    case 'bytes after its extensions':
      return { reshape: parts => [...parts, integer(0)] };
    case 'bytes after its key':
      return { reshape: parts => parts.with(6, tlv(0x30, contentOf(parts[6]), integer(0))) };
    case 'a length that is not minimal':
      return { reshape: parts => parts.with(5, longer(parts[5])) };
    case 'an empty list of extensions':
      return { reshape: parts => [...parts.slice(0, 7), tlv(0xa3, sequence())] };
    case 'a unique identifier':
      return { reshape: parts => parts.toSpliced(7, 0, tlv(0x81, Buffer.of(0, 1))) };
    case 'another algorithm inside':
      return { reshape: parts => parts.with(2, sequence(oid('1.2.840.10045.4.3.4'))) };
    case 'an altered signature':
      return { alter: renamed };
    case 'version 1':
      return { version: 0 };
    case 'version 2':
      return { version: 1 };
    case 'a negative serial number':
      return { serial: Buffer.of(0x80, 1) };
    case 'SHA-1':
      return { hash: 'sha1' };
    default:
      return {};
  }
}

/** Another subject of the same length. */
function renamed(tbs: Buffer): Buffer {
  const altered = Buffer.from(tbs);
  const position = altered.lastIndexOf('certificate ');
  altered[position] = 'C'.charCodeAt(0);
  return altered;
}

/** For a value of less than 128 bytes, or of 128 to 255. */
function contentOf(value: Buffer = Buffer.of()): Buffer {
  return value.subarray((value[1] ?? 0) < 0x80 ? 2 : (value[1] ?? 0) === 0x81 ? 3 : 4);
}

function longer(value: Buffer = Buffer.of()): Buffer {
  return Buffer.concat([value.subarray(0, 1), Buffer.of(0x81), value.subarray(1)]);
}
