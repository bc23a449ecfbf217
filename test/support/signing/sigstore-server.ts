import { createPublicKey, hash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ASN1Obj } from '@sigstore/core';
import { createServer } from '../os/http.ts';
import { dsseBody, issue, type TestSigstore } from './sigstore.ts';

/** The services of a TestSigstore for `cosign sign`. */
export type SigstoreServer = AsyncDisposable & {
  /** A signing config with a CA, these logs, and a timestamp authority if requested. */
  signingConfig(logs: readonly (1 | 2)[], timestamps: boolean): string;
};

/** The subject of certificates; any token is accepted. */
export function tokenOf(claims: { readonly iss: string; readonly sub: string }): string {
  const all = { ...claims, email: claims.sub, email_verified: true, aud: 'sigstore', exp: 4_000_000_000 };
  const parts = [JSON.stringify({ alg: 'RS256', typ: 'JWT' }), JSON.stringify(all), 'signature'];
  return parts.map(part => Buffer.from(part).toString('base64url')).join('.');
}

export async function startSigstore(services: TestSigstore): Promise<SigstoreServer> {
  const answers: Readonly<Record<string, (body: Buffer, token: string) => Answer>> = {
    '/api/v2/signingCert': (body, token) => certify(services, body, token),
    '/api/v1/log/entries': body => recordFirst(services, body),
    '/api/v2/log/entries': body => recordSecond(services, body),
    '/api/v1/timestamp': body => {
      const [, imprint] = ASN1Obj.parseBuffer(Buffer.from(body)).subs;
      const hashed = imprint?.subs[1]?.value ?? Buffer.of();
      return { bytes: services.timestamps.stamp(hashed, new Date(), hashed) };
    },
  };
  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = Buffer.concat(await Array.fromAsync<Uint8Array>(request));
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    const { status, headers, bytes } = answers[request.url ?? '']?.(body, token) ?? nothing;
    response.writeHead(status ?? 200, { 'content-type': 'application/json', ...headers }).end(bytes);
  }

  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const service = (path: string, majorApiVersion: number): object => ({
    url: `${url}${path}`,
    majorApiVersion,
    operator: 'sigstore.test',
    validFor: { start: '2020-01-01T00:00:00Z' },
  });
  return {
    signingConfig: (logs, timestamps) =>
      JSON.stringify({
        mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
        caUrls: [service('', 1)],
        oidcUrls: [],
        rekorTlogUrls: logs.map(version => service('', version)),
        rekorTlogConfig: { selector: 'ANY' },
        tsaUrls: timestamps ? [service('/api/v1/timestamp', 1)] : [],
        tsaConfig: { selector: 'ANY' },
      }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
    },
  };
}

type Answer = {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
};

const nothing: Answer = { status: 404, bytes: Buffer.of() };
const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));

/** Fulcio's. */
function certify(services: TestSigstore, body: Buffer, token: string): Answer {
  type Wanted = { readonly publicKeyRequest: { readonly publicKey: { readonly content: string } } };
  const { publicKeyRequest } = JSON.parse(body.toString()) as Wanted;
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    readonly iss: string;
    readonly sub: string;
  };
  const publicKey = createPublicKey(publicKeyRequest.publicKey.content);
  const leaf = issue(services, { issuer: claims.iss, name: `email:${claims.sub}` }, publicKey);
  const certificates = [leaf, ...services.certificateAuthorities].map(({ pem }) => pem);
  return { bytes: json({ signedCertificateEmbeddedSct: { chain: { certificates } } }) };
}

/** Rekor's, version 1. */
function recordFirst({ first }: TestSigstore, body: Buffer): Answer {
  type Proposed = {
    readonly spec: {
      readonly proposedContent: { readonly envelope: string; readonly verifiers: readonly string[] };
    };
  };
  const { proposedContent } = (JSON.parse(body.toString()) as Proposed).spec;
  const envelope = JSON.parse(proposedContent.envelope) as {
    readonly payload: string;
    readonly signatures: readonly { readonly sig: string }[];
  };
  const pem = Buffer.from(proposedContent.verifiers[0] ?? '', 'base64').toString();
  const payload = Buffer.from(envelope.payload, 'base64');
  const { bundled } = first.record(
    dsseBody(envelope, payload, envelope.signatures[0]?.sig ?? '', pem),
    new Date(),
  );
  const { inclusionProof: proof } = bundled;
  const toHex = (base64: string): string => Buffer.from(base64, 'base64').toString('hex');
  const entry = {
    body: bundled.canonicalizedBody,
    integratedTime: Number(bundled.integratedTime),
    logID: toHex(bundled.logId.keyId),
    logIndex: Number(bundled.logIndex),
    verification: {
      signedEntryTimestamp: bundled.inclusionPromise.signedEntryTimestamp,
      inclusionProof: {
        checkpoint: proof.checkpoint.envelope,
        hashes: proof.hashes.map(toHex),
        logIndex: Number(proof.logIndex),
        rootHash: toHex(proof.rootHash),
        treeSize: Number(proof.treeSize),
      },
    },
  };
  const id = hash('sha256', bundled.canonicalizedBody);
  const headers = { etag: id, location: `/api/v1/log/entries/${id}` };
  return { status: 201, headers, bytes: json({ [id]: entry }) };
}

/** Rekor's, version 2. */
function recordSecond({ second }: TestSigstore, body: Buffer): Answer {
  type Wanted = {
    readonly hashedRekordRequestV002: {
      readonly digest: string;
      readonly signature: { readonly verifier: { readonly keyDetails: string } };
    };
  };
  const { digest, signature } = (JSON.parse(body.toString()) as Wanted).hashedRekordRequestV002;
  const bits = /\d+$/.exec(signature.verifier.keyDetails)?.[0] ?? '256';
  const hashedRekordV002 = { data: { algorithm: `SHA2_${bits}`, digest }, signature };
  const entry = { apiVersion: '0.0.2', kind: 'hashedrekord', spec: { hashedRekordV002 } };
  return { status: 201, bytes: json(second.record(entry)) };
}
