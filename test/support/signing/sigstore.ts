import { hash, type KeyObject, sign } from 'node:crypto';
import type { Digest } from '../../../src/oci/digest.ts';
import { promiseOf } from './certificate-promise.ts';
import { text } from './der.ts';
import { openTestLog, type TestLog } from './log.ts';
import { openTileLog, type TileLog } from './tile-log.ts';
import { openTestTimestamps, type TestTimestamps } from './timestamp-authority.ts';
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
  oids,
  type Pair,
  purposes,
} from './x509.ts';

/** The services of stock cosign: a CA, a log of certificates, logs of both versions, a timestamp authority. */
export type TestSigstore = {
  readonly certificateAuthorities: readonly Issued[];
  readonly certificateLog: Pair;
  readonly first: TestLog;
  readonly second: TileLog;
  readonly timestamps: TestTimestamps;
};

/** How a bundle is made. The defaults are those of cosign with a Rekor of version 2 and a timestamp authority. */
export type BundleOptions = {
  readonly name?: Name;
  readonly issuer?: string;
  readonly key?: KeyKind;
  /** A key in place of a certificate. */
  readonly pair?: Pair;
  /** How many minutes ago the certificate became valid and expired; ends in the future are negative. */
  readonly from?: number;
  readonly to?: number;
  readonly extensions?: readonly Extension[];
  readonly recorded?: boolean;
  readonly log?: 'first' | 'second' | 'none';
  readonly stamps?: number;
  readonly predicateType?: string;
  /** Services other than those of the trusted root. */
  readonly by?: Partial<TestSigstore>;
};

export const oidcIssuer = 'https://accounts.example.com';
export const identity = 'jane@example.com';
const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const statementType = 'application/vnd.in-toto+json';
const signPredicate = 'https://sigstore.dev/cosign/sign/v1';
const minute = 60_000;
const long = { notBefore: new Date(Date.now() - 1e10), notAfter: new Date(Date.now() + 1e10) };

export function openSigstore(intermediateExtensions: readonly Extension[] = []): TestSigstore {
  const extensions = [isAuthority(), keyUsage(5, 6)];
  const root = makeX509({ subject: 'root', key: makePair('P-384'), extensions, ...long });
  const intermediate = makeX509({
    subject: 'intermediate',
    key: makePair(),
    issuer: root,
    extensions: [...extensions, purposes([oids.codeSigning]), ...intermediateExtensions],
    ...long,
  });
  return {
    certificateAuthorities: [intermediate, root],
    certificateLog: makePair(),
    first: openTestLog(),
    second: openTileLog(),
    timestamps: openTestTimestamps(),
  };
}

/** trusted_root.json, without the omitted fields. */
export function trustedRootOf(
  services: TestSigstore,
  leaveOut: readonly ('ctlogs' | 'tlogs' | 'timestampAuthorities')[] = [],
): string {
  const validFor = { start: long.notBefore.toISOString() };
  const log = (baseUrl: string, der: Buffer, id: Buffer, keyDetails: string): object => ({
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: { rawBytes: der.toString('base64'), keyDetails, validFor },
    logId: { keyId: id.toString('base64') },
  });
  const authority = (chain: readonly Issued[]): object => ({
    subject: { organization: 'sigstore.test', commonName: 'sigstore' },
    uri: 'https://sigstore.test',
    certChain: { certificates: chain.map(({ der }) => ({ rawBytes: der.toString('base64') })) },
    validFor,
  });
  const ecdsa = 'PKIX_ECDSA_P256_SHA_256';
  const { first, second } = services;
  const firstKey = toDer(first.pem);
  const certificateLog = services.certificateLog.publicKey.export({ type: 'spki', format: 'der' });
  const all = {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [
      log('https://rekor.test', firstKey, sha256(firstKey), ecdsa),
      log(`https://${second.name}`, second.key, second.id, 'PKIX_ED25519'),
    ],
    certificateAuthorities: [authority(services.certificateAuthorities)],
    ctlogs: [log('https://ctfe.test', certificateLog, sha256(certificateLog), ecdsa)],
    timestampAuthorities: [authority(services.timestamps.chain)],
  };
  return JSON.stringify({ ...all, ...Object.fromEntries(leaveOut.map(key => [key, undefined])) });
}

/** A bundle as `cosign sign` makes it. */
export function makeBundle(sigstore: TestSigstore, digest: Digest, options: BundleOptions = {}): string {
  const services = { ...sigstore, ...options.by };
  const certificate = options.pair === undefined ? issue(services, options) : undefined;
  const pair = options.pair ?? certificate?.key ?? makePair();
  const [algorithm = '', hex = ''] = digest.split(':');
  const payload = Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { [algorithm]: hex }, annotations: {} }],
      predicateType: options.predicateType ?? signPredicate,
      predicate: {},
    }),
  );
  const prefix = `DSSEv1 ${statementType.length} ${statementType} ${payload.length} `;
  const signed = Buffer.concat([Buffer.from(prefix), payload]);
  const hashing = hashOf(pair);
  const signature = sign(hashing.name, signed, pair.privateKey);
  const sig = signature.toString('base64');
  const dsseEnvelope = {
    payload: payload.toString('base64'),
    payloadType: statementType,
    signatures: [{ sig }],
  };
  const spki = pair.publicKey.export({ type: 'spki', format: 'der' });
  const publicKey = { rawBytes: spki.toString('base64') };
  const x509Certificate = certificate && { rawBytes: certificate.der.toString('base64') };
  const rfc3161Timestamps = Array.from({ length: options.stamps ?? 1 }, () => ({
    signedTimestamp: services.timestamps.stamp(signature, new Date()).toString('base64'),
  }));
  const entries = {
    none: () => [],
    first: () => {
      const pem = certificate?.pem ?? pair.publicKey.export({ type: 'spki', format: 'pem' });
      return [services.first.record(dsseBody(dsseEnvelope, payload, sig, pem), new Date()).bundled];
    },
    second: () => {
      const content = {
        data: { algorithm: hashing.rekor, digest: hash(hashing.name ?? 'sha256', signed, 'base64') },
        signature: {
          content: sig,
          verifier: {
            keyDetails: hashing.details,
            ...(x509Certificate === undefined ? { publicKey } : { x509Certificate }),
          },
        },
      };
      return [
        services.second.record({
          apiVersion: '0.0.2',
          kind: 'hashedrekord',
          spec: { hashedRekordV002: content },
        }),
      ];
    },
  };
  return JSON.stringify({
    mediaType: bundleType,
    verificationMaterial: {
      ...(x509Certificate === undefined
        ? { publicKey: { hint: sha256(spki).toString('base64') } }
        : { certificate: x509Certificate }),
      tlogEntries: entries[options.log ?? 'second'](),
      ...(rfc3161Timestamps.length > 0 ? { timestampVerificationData: { rfc3161Timestamps } } : {}),
    },
    dsseEnvelope,
  });
}

/** The entry of a log of version 1 for an envelope. */
export function dsseBody(envelope: object, payload: Buffer, signature: string, pem: string): object {
  return {
    apiVersion: '0.0.1',
    kind: 'dsse',
    spec: {
      envelopeHash: { algorithm: 'sha256', value: hash('sha256', JSON.stringify(envelope)) },
      payloadHash: { algorithm: 'sha256', value: hash('sha256', payload) },
      signatures: [{ signature, verifier: Buffer.from(pem).toString('base64') }],
    },
  };
}

function hashOf({ privateKey }: Pair): { name: string | null; rekor: string; details: string } {
  switch (privateKey.asymmetricKeyDetails?.namedCurve) {
    case 'secp384r1':
      return { name: 'sha384', rekor: 'SHA2_384', details: 'PKIX_ECDSA_P384_SHA_384' };
    case 'secp521r1':
      return { name: 'sha512', rekor: 'SHA2_512', details: 'PKIX_ECDSA_P521_SHA_512' };
    case 'prime256v1':
      return { name: 'sha256', rekor: 'SHA2_256', details: 'PKIX_ECDSA_P256_SHA_256' };
    default:
      return privateKey.asymmetricKeyType === 'rsa'
        ? { name: 'sha256', rekor: 'SHA2_256', details: 'PKIX_RSA_PKCS1V15_2048_SHA256' }
        : { name: null, rekor: 'SHA2_512', details: 'PKIX_ED25519' };
  }
}

/**
 * A certificate as Fulcio issues it, with a promise of the log of certificates: for a new key, or for the public half
 * of a given one.
 */
export function issue(services: TestSigstore, options: BundleOptions, holder?: KeyObject): Issued {
  const [issuer] = services.certificateAuthorities;
  if (issuer === undefined) throw new Error('no CA');
  const at = (minutes: number): Date => new Date(Date.now() - minutes * minute);
  const wanted = {
    subject: '',
    key: holder === undefined ? makePair(options.key) : { ...issuer.key, publicKey: holder },
    issuer,
    notBefore: at(options.from ?? 5),
    notAfter: at(options.to ?? -5),
    serial: Buffer.from('1234567890abcdef', 'hex'),
    extensions: [
      keyUsage(0),
      purposes([oids.codeSigning]),
      altNames([options.name ?? `email:${identity}`], true),
      extension(oids.fulcioIssuerText, Buffer.from(options.issuer ?? oidcIssuer)),
      extension(oids.fulcioIssuer, text(options.issuer ?? oidcIssuer)),
      ...(options.extensions ?? []),
    ],
  };
  if (options.recorded === false) return makeX509(wanted);
  const promise = promiseOf(makeX509(wanted), issuer, services.certificateLog);
  return makeX509({ ...wanted, extensions: [...wanted.extensions, promise] });
}

const toDer = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');
