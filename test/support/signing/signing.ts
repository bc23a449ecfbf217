import { hash } from 'node:crypto';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { type Digest, parseDigest } from '../../../src/oci/digest.ts';
import { ociIndex, ociManifest } from '../../../src/oci/manifest.ts';
import type { SignatureSource } from '../../../src/ports/trust.ts';
import type { TestLog } from './log.ts';
import type { TestSigner } from './signer.ts';

const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const simpleSigning = 'application/vnd.dev.cosign.simplesigning.v1+json';

/** Signatures in memory, as in a registry; `asked` are the calls. */
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

/** Rekor's entry for a signature in a `.sig` tag. */
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
