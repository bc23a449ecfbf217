import { createHash, hash } from 'node:crypto';
import type { Credential } from '../../oci/credential.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { algorithmOf, type Digest, isDigest, toDigest } from '../../oci/digest.ts';
import { manifestMediaTypes, maxManifestBytes, maxTypeLength } from '../../oci/manifest.ts';
import type { ServedBy } from '../../ports/registry.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Upstream } from '../config/route.ts';
import type { FinalResponse } from '../http/redirect.ts';
import { collect, describeEncoding, type Head } from '../http/request.ts';
import { SizeError } from '../http/retry.ts';
import type { ApiRequest, Exchange } from './exchange.ts';

/** A tag or digest of a repository, and the credential to use. `subject` names it in errors. */
export type Asked = {
  readonly upstream: Upstream;
  readonly credential: Credential;
  readonly subject: string;
};

/** Who answers this, and whether anyone gets the same answer: a credential's access is that of its callers alone. */
export function toServedBy({ upstream: { mirrorOf }, credential }: Omit<Asked, 'subject'>): ServedBy {
  return { ...(mirrorOf === undefined ? {} : { mirrorOf }), isOpen: credential.holder.kind === 'anyone' };
}

const getAnswers: ReadonlySet<number> = new Set([200]);

/**
 * Resolves a tag or digest: from the headers of a HEAD if they are complete, else from a GET, whose body is hashed (OCI
 * distribution spec, "Pulling manifests"). A HEAD that fails decides nothing: some registries and proxies do not serve
 * it, and only a GET returns the reason for a refusal.
 *
 * @throws as Exchange; `corrupt` if the response has another digest or is not a manifest; `unmountable` above 4 MiB.
 */
export async function resolve(
  exchange: Exchange,
  asked: Asked,
  name: string,
  signal: AbortSignal,
): Promise<Descriptor> {
  const digest = isDigest(name) ? name : undefined;
  const head = await exchange(question(asked, 'HEAD', name), () => () => {}, signal);
  const found = head.status === 200 ? described(head) : undefined;
  if (found !== undefined && (digest === undefined || found.digest === digest)) return found;
  let expected = digest;
  let body = weigh(expected);
  const arrival = await exchange(
    question(asked, 'GET', name),
    here => {
      const said = here.headers['docker-content-digest'] ?? '';
      expected = digest ?? (isDigest(said) ? said : undefined);
      body = weigh(expected);
      return chunk => {
        if (body.take(chunk) > maxManifestBytes) throw tooLarge(asked, here);
      };
    },
    signal,
  );
  const { actual, size } = body.end();
  if (expected !== undefined && actual !== expected)
    throw corrupt(asked, arrival, `sent ${actual} as ${expected}`);
  if (expected === undefined && describeEncoding(arrival.headers) !== '')
    throw corrupt(asked, arrival, 'sent it packed');
  const mediaType = essence(arrival);
  if (mediaType === 'text/html')
    throw corrupt(asked, arrival, 'sent a web page; is a proxy or a login in between?');
  return { mediaType, digest: actual, size, annotations: {} };
}

/**
 * Returns the verified bytes of a manifest.
 *
 * @throws as Exchange; `corrupt` if the bytes do not match the descriptor; `unmountable` above 4 MiB.
 */
export async function fetchManifest(
  exchange: Exchange,
  asked: Asked,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { digest, size } = descriptor;
  if (size > maxManifestBytes) {
    throw new ArtifactError(
      'unmountable',
      `${asked.subject}: a manifest may have 4 MiB; this one has ${size} bytes`,
    );
  }
  let body: ReturnType<typeof collect> | undefined;
  const arrival = await exchange(
    question(asked, 'GET', digest),
    here => {
      body = collect(size, () =>
        wrongSize(asked, here, `sent more than the ${size} bytes of its descriptor`),
      );
      return body.receive;
    },
    signal,
  );
  const bytes = body?.bytes() ?? Buffer.of();
  if (bytes.length !== size) {
    throw wrongSize(asked, arrival, `sent ${bytes.length} bytes, and its descriptor says ${size}`);
  }
  const algorithm = algorithmOf(digest);
  const actual = toDigest(algorithm, hash(algorithm, bytes));
  if (actual !== digest) throw corrupt(asked, arrival, `sent ${actual} as ${digest}`);
  return bytes;
}

/** Hashes a body and keeps nothing of it. */
function weigh(like: Digest | undefined) {
  const algorithm = like === undefined ? 'sha256' : algorithmOf(like);
  const hasher = createHash(algorithm);
  let size = 0;
  return {
    /** Returns the number of bytes received. */
    take(chunk: Uint8Array): number {
      hasher.update(chunk);
      size += chunk.length;
      return size;
    },
    end: () => ({ actual: toDigest(algorithm, hasher.digest('hex')), size }),
  };
}

function question(asked: Asked, method: 'GET' | 'HEAD', name: string): ApiRequest {
  return {
    ...asked,
    method,
    path: `manifests/${name}`,
    headers: { accept: manifestMediaTypes.join(', ') },
    wanted: method === 'HEAD' ? 'any' : getAnswers,
  };
}

/** Returns undefined if a header is missing or unclear. The length of a compressed response is not its size. */
function described(head: Head): Descriptor | undefined {
  const digest = head.headers['docker-content-digest'] ?? '';
  const length = head.headers['content-length'] ?? '';
  const mediaType = essence(head);
  if (!isDigest(digest) || !/^[1-9]\d{0,14}$/.test(length) || mediaType === '') return undefined;
  if (describeEncoding(head.headers) !== '') return undefined;
  return { mediaType, digest, size: Number(length), annotations: {} };
}

/** Returns a Content-Type without its parameters; empty if it is none. */
function essence(head: Head): string {
  const type = (head.headers['content-type'] ?? '').split(';', 1).join().trim().toLowerCase();
  return type.length > maxTypeLength ? '' : type;
}

function corrupt(asked: Asked, from: FinalResponse, what: string): ArtifactError {
  return new ArtifactError('corrupt', describe(asked, from, what));
}

function wrongSize(asked: Asked, from: FinalResponse, what: string): SizeError {
  return new SizeError(`${describe(asked, from, what)}; check their source`);
}

function describe({ subject }: Asked, { url, headers }: FinalResponse, what: string): string {
  return `${subject}: ${url.host} ${what}${describeEncoding(headers)}`;
}

function tooLarge(asked: Asked, { headers }: FinalResponse): ArtifactError {
  const length = headers['content-length'];
  const bytes = length === undefined ? 'more' : `${length} bytes`;
  return new ArtifactError(
    'unmountable',
    `${asked.subject}: a manifest may have 4 MiB; this one has ${bytes}${describeEncoding(headers)}`,
  );
}
