import { hash, randomBytes, sign } from 'node:crypto';
import { integer, nothing, octets, oid, sequence, tlv } from './der.ts';
import {
  type Extension,
  type Issued,
  isAuthority,
  keyUsage,
  makePair,
  makeX509,
  oids,
  purposes,
  signatureAlgorithm,
} from './x509.ts';

const sha256 = sequence(oid('2.16.840.1.101.3.4.2.1'), nothing);
const signedData = '1.2.840.113549.1.7.2';
const timestampInfo = '1.2.840.113549.1.9.16.1.4';

/** A timestamp authority (RFC 3161) with a key of its own, for any time. */
export type TestTimestamps = {
  /** From the signing certificate to the root. */
  readonly chain: readonly Issued[];
  /** A response with a token; `imprint` replaces the hash of the signature. */
  stamp(signature: Uint8Array, time: Date, imprint?: Uint8Array): Buffer;
};

/** `extensions` of the signing certificate; by default those that RFC 3161 requires. */
export function openTestTimestamps(
  extensions: readonly Extension[] = [keyUsage(0), purposes([oids.timeStamping], true)],
  validity: { readonly notBefore?: Date; readonly notAfter?: Date } = {},
): TestTimestamps {
  const authority = { subject: 'timestamps', extensions: [isAuthority(), keyUsage(5, 6)] };
  const root = makeX509({ ...authority, key: makePair('P-384') });
  const leaf = makeX509({ subject: 'tsa', key: makePair(), issuer: root, extensions, ...validity });
  return {
    chain: [leaf, root],
    stamp(signature, time, imprint) {
      const digits = time.toISOString().replace(/[-:T]|\.\d+/g, '');
      const info = sequence(
        integer(1),
        oid('1.3.6.1.4.1.57264.2'),
        sequence(sha256, octets(imprint ?? hash('sha256', signature, 'buffer'))),
        integer(Buffer.concat([Buffer.of(1), randomBytes(8)])),
        tlv(0x18, Buffer.from(digits)),
      );
      const certificateHash = sequence(sequence(sequence(octets(hash('sha256', leaf.der, 'buffer')))));
      const attributes = [
        attribute('1.2.840.113549.1.9.3', oid(timestampInfo)),
        attribute('1.2.840.113549.1.9.4', octets(hash('sha256', info, 'buffer'))),
        attribute('1.2.840.113549.1.9.16.2.47', certificateHash),
      ].sort(Buffer.compare);
      const algorithm = signatureAlgorithm(leaf.key.privateKey);
      const signerInfo = sequence(
        integer(1),
        sequence(...leaf.id),
        sha256,
        tlv(0xa0, ...attributes),
        algorithm.der,
        octets(sign(algorithm.hash, tlv(0x31, ...attributes), leaf.key.privateKey)),
      );
      const data = sequence(
        integer(3),
        tlv(0x31, sha256),
        sequence(oid(timestampInfo), tlv(0xa0, octets(info))),
        tlv(0xa0, leaf.der),
        tlv(0x31, signerInfo),
      );
      return sequence(sequence(tlv(2, Buffer.of(0))), sequence(oid(signedData), tlv(0xa0, data)));
    },
  };
}

function attribute(id: string, value: Buffer): Buffer {
  return sequence(oid(id), tlv(0x31, value));
}
