import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { type Digest, parseDigest } from '../../src/oci/digest.ts';
import { ociIndex, ociManifest } from '../../src/oci/media-type.ts';
import type { SignatureSource } from '../../src/trust/verdict.ts';

export const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
export const simpleSigning = 'application/vnd.dev.cosign.simplesigning.v1+json';

/** Who signs. `pem` is the public key; `certificate` is shown with the signature in place of it. */
export type TestSigner = {
  readonly pem: string;
  readonly certificate?: string;
  sign(bytes: Uint8Array): Buffer;
};

export function toSigner(privateKey: KeyObject, publicKey: KeyObject, certificate?: string): TestSigner {
  return {
    pem: publicKey.export({ type: 'spki', format: 'pem' }),
    sign: bytes => sign(privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, privateKey),
    ...(certificate === undefined ? {} : { certificate }),
  };
}

export function makeSigner(kind: 'ec' | 'rsa' | 'ed25519' = 'ec'): TestSigner {
  const pair =
    kind === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : kind === 'rsa'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ed25519');
  return toSigner(pair.privateKey, pair.publicKey);
}

/** Signatures in memory, as a registry has them; `asked` are the calls. */
export type TestSource = SignatureSource & {
  readonly asked: string[];
  /** False: referrers are found by tag. */
  hasReferrers: boolean;
  /** A `.sig` tag; each layer is a payload with its annotations. */
  putSimple(digest: Digest, layers: readonly SimpleLayer[]): void;
  /** A bundle that refers to a digest. */
  putBundle(digest: Digest, bundle: string, annotations?: Readonly<Record<string, string>>): void;
  putTag(name: string, mediaType: string, bytes: Uint8Array): void;
};

export type SimpleLayer = {
  readonly payload: string;
  readonly annotations: Readonly<Record<string, string>>;
};

export function openTestSource(): TestSource {
  const held = new Map<Digest, Uint8Array>();
  const tags = new Map<string, Descriptor>();
  const referring = new Map<Digest, Descriptor[]>();

  function put(mediaType: string, bytes: Uint8Array): Descriptor {
    const digest = parseDigest(`sha256:${hash('sha256', bytes)}`);
    held.set(digest, bytes);
    return { mediaType, digest, size: bytes.length, annotations: {} };
  }

  const get = (what: string) => async (descriptor: Descriptor) => {
    source.asked.push(what);
    return held.get(descriptor.digest) ?? new Uint8Array();
  };

  const source: TestSource = {
    asked: [],
    hasReferrers: true,
    manifest: get('manifest'),
    blob: get('blob'),
    async tag(name) {
      source.asked.push(`tag ${name}`);
      const descriptor = tags.get(name);
      const bytes = descriptor && held.get(descriptor.digest);
      return descriptor && bytes && { descriptor, bytes };
    },
    async referrers(digest) {
      source.asked.push('referrers');
      return source.hasReferrers ? (referring.get(digest) ?? []) : undefined;
    },
    putTag: (name, mediaType, bytes) => void tags.set(name, put(mediaType, bytes)),
    putSimple(digest, layers) {
      const manifest = {
        schemaVersion: 2,
        mediaType: ociManifest,
        config: put('application/vnd.oci.image.config.v1+json', Buffer.from('{}')),
        layers: layers.map(({ payload, annotations }) => ({
          ...put(simpleSigning, Buffer.from(payload)),
          annotations,
        })),
      };
      source.putTag(`${digest.replace(':', '-')}.sig`, ociManifest, Buffer.from(JSON.stringify(manifest)));
    },
    putBundle(digest, bundle, annotations = {}) {
      const manifest = {
        schemaVersion: 2,
        mediaType: ociManifest,
        artifactType: bundleType,
        config: put('application/vnd.oci.empty.v1+json', Buffer.from('{}')),
        layers: [put(bundleType, Buffer.from(bundle))],
        annotations,
      };
      const descriptor = put(ociManifest, Buffer.from(JSON.stringify(manifest)));
      const all = [
        ...(referring.get(digest) ?? []),
        { ...descriptor, artifactType: bundleType, annotations },
      ];
      referring.set(digest, all);
      const index = { schemaVersion: 2, mediaType: ociIndex, manifests: all };
      source.putTag(digest.replace(':', '-'), ociIndex, Buffer.from(JSON.stringify(index)));
    },
  };
  return source;
}

/** What cosign signs of an artifact under a name. */
export function claimOf(name: string, digest: string): string {
  return JSON.stringify({
    critical: {
      identity: { 'docker-reference': name },
      image: { 'docker-manifest-digest': digest },
      type: 'cosign container image signature',
    },
    optional: null,
  });
}

/** A layer of a `.sig` manifest. */
export function signSimple(payload: string, signer: TestSigner): SimpleLayer {
  const signature = signer.sign(Buffer.from(payload)).toString('base64');
  return {
    payload,
    annotations: {
      'dev.cosignproject.cosign/signature': signature,
      ...(signer.certificate && { 'dev.sigstore.cosign/certificate': signer.certificate }),
    },
  };
}

/** The same, with its signature recorded in a log at a time. */
export function signSimpleInLog(
  payload: string,
  signer: TestSigner,
  log: TestLog,
  time: Date,
  chain?: string,
): SimpleLayer {
  const layer = signSimple(payload, signer);
  const content = layer.annotations['dev.cosignproject.cosign/signature'] ?? '';
  const entry = log.record(recordOf(Buffer.from(payload), content, signer.certificate ?? signer.pem), time);
  const annotations = { ...layer.annotations, 'dev.sigstore.cosign/bundle': entry.annotation };
  return {
    payload,
    annotations: chain ? { ...annotations, 'dev.sigstore.cosign/chain': chain } : annotations,
  };
}

const statementType = 'application/vnd.in-toto+json';

/** A bundle of a statement about a digest, recorded in a log if one is given. */
export function signBundle(
  digest: Digest,
  signer: TestSigner,
  more: { readonly predicateType?: string; readonly log?: TestLog; readonly time?: Date } = {},
): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  const payload = Buffer.from(
    JSON.stringify({
      _type: 'https://in-toto.io/Statement/v1',
      subject: [{ digest: { [algorithm]: hex }, annotations: {} }],
      predicateType: more.predicateType ?? 'https://sigstore.dev/cosign/sign/v1',
      predicate: {},
    }),
  );
  const encoded = Buffer.concat([
    Buffer.from(`DSSEv1 ${statementType.length} ${statementType} ${payload.length} `),
    payload,
  ]);
  const sig = signer.sign(encoded).toString('base64');
  const verifier = Buffer.from(signer.certificate ?? signer.pem).toString('base64');
  const spec = {
    payloadHash: { algorithm: 'sha256', value: hash('sha256', payload) },
    signatures: [{ signature: sig, verifier }],
  };
  const entry = more.log?.record({ apiVersion: '0.0.1', kind: 'dsse', spec }, more.time ?? new Date());
  const der = Buffer.from((signer.certificate ?? signer.pem).replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return JSON.stringify({
    mediaType: bundleType,
    verificationMaterial: {
      ...(signer.certificate === undefined
        ? { publicKey: { hint: hash('sha256', der, 'base64') } }
        : { certificate: { rawBytes: der.toString('base64') } }),
      ...(entry && { tlogEntries: [entry.bundled] }),
    },
    dsseEnvelope: { payload: payload.toString('base64'), payloadType: statementType, signatures: [{ sig }] },
  });
}

/** What Rekor keeps of a signature in a `.sig` tag. */
function recordOf(signed: Uint8Array, signature: string, pem: string): object {
  return {
    apiVersion: '0.0.1',
    kind: 'hashedrekord',
    spec: {
      data: { hash: { algorithm: 'sha256', value: hash('sha256', signed) } },
      signature: { content: signature, publicKey: { content: Buffer.from(pem).toString('base64') } },
    },
  };
}

/** An entry as cosign writes it into an annotation, and into a bundle. */
export type LogEntry = { readonly annotation: string; readonly bundled: object };
export type TestLog = { readonly pem: string; record(body: object, time: Date): LogEntry };

/** A log like Rekor, with a key of its own; each entry is the only one of its tree. */
export function openTestLog(): TestLog {
  const signer = makeSigner();
  const id = hash('sha256', Buffer.from(signer.pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'), 'buffer');
  return {
    pem: signer.pem,
    record(value, time) {
      const body = Buffer.from(JSON.stringify(value));
      const payload = {
        body: body.toString('base64'),
        integratedTime: Math.floor(time.getTime() / 1000),
        logIndex: 7,
        logID: id.toString('hex'),
      };
      const promise = signer.sign(Buffer.from(JSON.stringify(payload, Object.keys(payload).sort())));
      const root = hash('sha256', Buffer.concat([Buffer.of(0), body]), 'base64');
      const note = `rekor.test - 1\n1\n${root}\n`;
      const noted = Buffer.concat([id.subarray(0, 4), signer.sign(Buffer.from(note))]).toString('base64');
      const { kind, apiVersion } = value as { kind: string; apiVersion: string };
      return {
        annotation: JSON.stringify({
          SignedEntryTimestamp: promise.toString('base64'),
          Payload: payload,
        }),
        bundled: {
          logIndex: '7',
          logId: { keyId: id.toString('base64') },
          kindVersion: { kind, version: apiVersion },
          integratedTime: String(payload.integratedTime),
          inclusionPromise: { signedEntryTimestamp: promise.toString('base64') },
          inclusionProof: {
            logIndex: '0',
            rootHash: root,
            treeSize: '1',
            hashes: [],
            checkpoint: { envelope: `${note}\n\u2014 rekor.test ${noted}\n` },
          },
          canonicalizedBody: payload.body,
        },
      };
    },
  };
}
