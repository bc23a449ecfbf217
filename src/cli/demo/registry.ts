import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { rename, stat, unlink } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { algorithmOf, type Digest, isDigest, toDigest } from '../../oci/digest.ts';

/** A response of the registry as a value, so that a test can change it. */
export type Reply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
};

/** A blob whose bytes are made when they are read: those from `from` to `to`, in small pieces. */
export type GeneratedBlob = {
  readonly size: number;
  readonly read: (from: number, to: number) => Iterable<Uint8Array>;
};

export type DemoRegistry = {
  /** Answers a request of the OCI distribution API: pull and push; no deletion, no lists. */
  readonly answer: (request: IncomingMessage) => Promise<Reply>;
  putBlob(repository: string, bytes: Uint8Array | GeneratedBlob): Promise<Digest>;
  /** `reference` is a tag, or a digest to verify. */
  putManifest(repository: string, reference: string, mediaType: string, bytes: Uint8Array): Promise<Digest>;
};

const manifestPath = /^\/v2\/(?<name>[^?]+)\/manifests\/(?<reference>[^/?]+)$/;
const blobPath = /^\/v2\/(?<name>[^?]+)\/blobs\/(?<digest>[^/?]+)$/;
const uploadPath = /^\/v2\/(?<name>[^?]+)\/blobs\/uploads\/(?<upload>[0-9a-f-]*)$/;

/**
 * A registry with bytes as files in `directory`, unless they are generated, and names in memory. For demonstrations and
 * tests: it has no authentication.
 */
export function openDemoRegistry(directory: string): DemoRegistry {
  /** `<repository>@<digest>` to media type, empty for a blob. */
  const held = new Map<string, string>();
  const tags = new Map<string, Digest>();
  const generated = new Map<Digest, GeneratedBlob>();
  const fileOf = (digest: Digest) => join(directory, digest.replace(':', '-'));

  async function putManifest(repository: string, reference: string, mediaType: string, bytes: Uint8Array) {
    const digest = await store(repository, mediaType, [bytes], isDigest(reference) ? reference : undefined);
    if (!isDigest(reference)) tags.set(`${repository}:${reference}`, digest);
    return digest;
  }

  /** Stores bytes under their digest. @throws Refusal if it differs from the expected digest. */
  async function store(
    repository: string,
    mediaType: string,
    bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    said: Digest | undefined,
  ): Promise<Digest> {
    const algorithm = said === undefined ? 'sha256' : algorithmOf(said);
    const hashing = createHash(algorithm);
    const aside = join(directory, randomUUID());
    const hashed = async function* (source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
      for await (const chunk of source) {
        hashing.update(chunk);
        yield chunk;
      }
    };
    await pipeline(hashed(bytes), createWriteStream(aside));
    const digest = toDigest(algorithm, hashing.digest('hex'));
    if (said !== undefined && said !== digest) {
      await unlink(aside);
      throw new Refusal(400, 'DIGEST_INVALID', `these bytes are ${digest}`);
    }
    await rename(aside, fileOf(digest));
    held.set(`${repository}@${digest}`, mediaType);
    return digest;
  }

  async function generate(repository: string, blob: GeneratedBlob): Promise<Digest> {
    const hashing = createHash('sha256');
    for (const piece of blob.read(0, blob.size)) {
      hashing.update(piece);
      await setImmediate();
    }
    const digest = toDigest('sha256', hashing.digest('hex'));
    generated.set(digest, blob);
    held.set(`${repository}@${digest}`, '');
    return digest;
  }

  async function pull(request: IncomingMessage, name: string, reference: string): Promise<Reply> {
    const digest = isDigest(reference) ? reference : tags.get(`${name}:${reference}`);
    const mediaType = held.get(`${name}@${digest}`);
    if (digest === undefined || mediaType === undefined)
      throw new Refusal(404, 'NAME_UNKNOWN', `no ${reference}`);
    const blob = generated.get(digest);
    const { size } = blob ?? (await stat(fileOf(digest)));
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const start = range === null ? 0 : Number(range[1]);
    const end = Math.min(range?.[2] ? Number(range[2]) : size - 1, size - 1);
    if (range !== null && start > end) {
      return {
        status: 416,
        headers: { 'content-range': `bytes */${size}`, 'content-length': '0' },
        body: [],
      };
    }
    return {
      status: range === null ? 200 : 206,
      headers: {
        'content-type': mediaType === '' ? 'application/octet-stream' : mediaType,
        'content-length': String(end - start + 1),
        'docker-content-digest': digest,
        ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${size}` }),
      },
      body:
        request.method === 'HEAD' || size === 0
          ? []
          : (blob?.read(start, end + 1) ??
            createReadStream(fileOf(digest), { start, end, highWaterMark: 1 << 20 })),
    };
  }

  /** Blobs come in one PUT, or by PATCH into an upload that a PUT ends. */
  async function push(request: IncomingMessage, name: string, upload: string, query: URLSearchParams) {
    if (upload === '') {
      const mounted = query.get('mount') ?? '';
      if (held.get(`${query.get('from')}@${mounted}`) === '') {
        held.set(`${name}@${mounted}`, '');
        return created(`/v2/${name}/blobs/${mounted}`, 201);
      }
      return created(`/v2/${name}/blobs/uploads/${randomUUID()}`, 202);
    }
    const partial = join(directory, upload);
    if (request.method === 'PATCH') {
      await pipeline(request, createWriteStream(partial, { flags: 'a' }));
      return created(`/v2/${name}/blobs/uploads/${upload}`, 202);
    }
    const said = query.get('digest') ?? '';
    if (!isDigest(said)) throw new Refusal(400, 'DIGEST_INVALID', 'the digest is not one');
    const patched = existsSync(partial);
    await store(name, '', patched ? createReadStream(partial) : request, said);
    if (patched) await unlink(partial);
    return created(`/v2/${name}/blobs/${said}`, 201);
  }

  async function answer(request: IncomingMessage): Promise<Reply> {
    try {
      const { method = '', url = '/' } = request;
      const { pathname, searchParams } = new URL(url, 'http://registry');
      if (pathname === '/v2/' || pathname === '/v2') return created('/v2/', 200);
      const upload = uploadPath.exec(pathname)?.groups;
      if (upload !== undefined)
        return await push(request, upload.name ?? '', upload.upload ?? '', searchParams);
      const {
        name = '',
        reference = '',
        digest = '',
      } = {
        ...manifestPath.exec(pathname)?.groups,
        ...blobPath.exec(pathname)?.groups,
      };
      if (method === 'PUT' && reference !== '') {
        const bytes = Buffer.concat(await Array.fromAsync<Uint8Array>(request));
        const stored = await putManifest(name, reference, request.headers['content-type'] ?? '', bytes);
        return created(`/v2/${name}/manifests/${stored}`, 201);
      }
      if (method === 'GET' || method === 'HEAD') return await pull(request, name, reference || digest);
      throw new Refusal(405, 'UNSUPPORTED', `${method} is not answered here`);
    } catch (thrown) {
      return thrown instanceof Refusal ? thrown.reply : refuse(500, 'UNKNOWN', String(thrown));
    }
  }

  return {
    answer,
    putBlob: (repository, bytes) =>
      bytes instanceof Uint8Array ? store(repository, '', [bytes], undefined) : generate(repository, bytes),
    putManifest,
  };
}

class Refusal extends Error {
  readonly reply: Reply;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.reply = refuse(status, code, message);
  }
}

/** An error in the form of the distribution spec. */
export function refuse(status: number, code: string, message: string): Reply {
  const body = Buffer.from(JSON.stringify({ errors: [{ code, message }] }));
  return {
    status,
    headers: { 'content-type': 'application/json', 'content-length': String(body.length) },
    body: [body],
  };
}

function created(location: string, status: number): Reply {
  return { status, headers: { location, 'content-length': '0' }, body: [] };
}

/** Sends a response. A body that throws closes the connection after everything before was sent. */
export async function deliver(reply: Reply, response: ServerResponse): Promise<void> {
  try {
    response.writeHead(reply.status, reply.headers);
    response.flushHeaders();
    for await (const chunk of reply.body) {
      await new Promise<void>((resolve, reject) => {
        response.write(chunk, failed => (failed ? reject(failed) : resolve()));
      });
    }
    response.end();
  } catch {
    response.destroy();
  }
}

/** The registry as a handler of node:http. */
export function toHandler(answer: DemoRegistry['answer']): RequestListener {
  return (request, response) => {
    void answer(request).then(reply => deliver(reply, response));
  };
}
