import http, { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { abortable } from '../util/abortable.ts';
import { createByteCollector } from '../util/byte-collector.ts';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import type { ClusterAccess } from './cluster.ts';

export type KubeRequest = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Names of the path, which are encoded: `api`, `v1`, `namespaces`, … */
  readonly path: readonly string[];
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: object;
  /** The media type of the body, if it differs from the usual one of the method. */
  readonly type?: string;
  /** The media types of the answer, if it may differ from JSON. */
  readonly accept?: string;
  /** Characters of the answer that are read. */
  readonly most: number;
};

export type KubeAnswer = {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
};

const limitMs = 10_000;

/**
 * Sends one request to the Kubernetes API.
 *
 * @throws ArtifactError `unavailable` if there is no answer within 10 s, including what makes the credentials; the
 *   signal's reason.
 */
export async function askApi(
  access: ClusterAccess,
  request: KubeRequest,
  signal: AbortSignal,
): Promise<KubeAnswer> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
  try {
    signal.throwIfAborted();
    const response = await openResponse(access, request, limited);
    const text = await readText(response, request.most);
    limited.throwIfAborted(); // a body without a length ends like a complete one
    return { code: response.statusCode ?? 0, headers: response.headers, text };
  } catch (thrown) {
    signal.throwIfAborted();
    throw toUnavailable(access, limited.aborted ? lateAnswer : toArtifactError(thrown).message, thrown);
  }
}

/**
 * Sends one request, and returns the response before its body, which the signal ends, too.
 *
 * @throws as `askApi`, if there is no response within 10 s.
 */
export async function openStream(
  access: ClusterAccess,
  request: Omit<KubeRequest, 'most'>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const late = new AbortController();
  using _timer = setTimeout(() => late.abort(), limitMs).unref();
  try {
    signal.throwIfAborted();
    return await openResponse(access, request, AbortSignal.any([signal, late.signal]));
  } catch (thrown) {
    signal.throwIfAborted();
    throw toUnavailable(access, late.signal.aborted ? lateAnswer : toArtifactError(thrown).message, thrown);
  }
}

const lateAnswer = `no answer within ${limitMs / 1000} s`;

function toUnavailable({ url }: ClusterAccess, why: string, thrown: unknown): ArtifactError {
  return new ArtifactError('unavailable', `the Kubernetes API at ${url} cannot be asked: ${why}`, thrown);
}

async function openResponse(
  { url, credentials }: ClusterAccess,
  { method, path, query, body, type, accept = 'application/json' }: Omit<KubeRequest, 'most'>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { headers: own, ...proof } = await abortable(credentials(signal), signal);
  const usual = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const text = body === undefined ? undefined : JSON.stringify(body);
  const ofBody = text && { 'content-type': type ?? usual, 'content-length': Buffer.byteLength(text) };
  const headers = { accept, ...ofBody, ...own };
  const options = { ...proof, method, headers, signal };
  const asked = query === undefined ? '' : `?${new URLSearchParams(query).toString()}`;
  const there = `${url}/${path.map(toSegment).join('/')}${asked}`;
  const client = url.startsWith('http:') ? http : https;
  const send = (): ClientRequest => client.request(there, options);
  return receive(send, text);
}

/** A URL resolves dots, also encoded ones; no object has such a name. */
function toSegment(name: string): string {
  if (name !== '' && !/^\.+$/.test(name)) return encodeURIComponent(name);
  throw new ArtifactError('invalid', `${JSON.stringify(name)} is no name of an object`);
}

/** A server may close an idle connection just as it is used again, which says nothing about the next one. */
async function receive(send: () => ClientRequest, body: string | undefined): Promise<IncomingMessage> {
  for (;;) {
    const request = send();
    const responding = responseTo(request);
    request.end(body);
    try {
      return await responding;
    } catch (thrown) {
      if (!request.reusedSocket || errnoOf(thrown) !== 'ECONNRESET') throw thrown;
    }
  }
}

/** Ends with the request, whatever ends that. An answer 101 has no response. */
function responseTo(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject); // also one that comes after the head of the response
    request.on('upgrade', (_, socket) => {
      socket.destroy();
      reject(new Error('it answered 101, and no other protocol was asked for'));
    });
    request.on('close', () => reject(new Error('the connection ended without a response')));
  });
}

/** Bytes for each character, which has three at most: what is cut has more characters than are read. */
const widest = 4;

async function readText(response: IncomingMessage, most: number): Promise<string> {
  const body = createByteCollector(widest * most);
  for await (const chunk of response) if (!body.add(chunk as Buffer)) break;
  return body.bytes().toString();
}
