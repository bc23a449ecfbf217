import http, { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { abortable } from '../util/abortable.ts';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';
import type { ClusterAccess } from './cluster.ts';

export type KubeRequest = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Names of the path, which are encoded: `api`, `v1`, `namespaces`, … */
  readonly path: readonly string[];
  readonly body?: object;
  /** Bytes of the answer that are read. */
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
  { url, credentials }: ClusterAccess,
  { method, path, body, most }: KubeRequest,
  signal: AbortSignal,
): Promise<KubeAnswer> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
  try {
    signal.throwIfAborted();
    const { headers: own, ...proof } = await abortable(credentials(limited), limited);
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const sent = body === undefined ? undefined : JSON.stringify(body);
    const ofBody = sent && { 'content-type': type, 'content-length': Buffer.byteLength(sent) };
    const headers = { accept: 'application/json', ...ofBody, ...own };
    const options = { ...proof, method, headers, signal: limited };
    const there = `${url}/${path.map(toSegment).join('/')}`;
    const client = url.startsWith('http:') ? http : https;
    const send = (): ClientRequest => client.request(there, options);
    const response = await receive(send, sent);
    const text = await readText(response, most);
    limited.throwIfAborted(); // a body without a length ends like a complete one
    return { code: response.statusCode ?? 0, headers: response.headers, text };
  } catch (thrown) {
    signal.throwIfAborted();
    const why = limited.aborted ? `no answer within ${limitMs / 1000} s` : toArtifactError(thrown).message;
    throw new ArtifactError('unavailable', `the Kubernetes API at ${url} cannot be asked: ${why}`, thrown);
  }
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

async function readText(response: IncomingMessage, most: number): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > most) break;
  }
  return text;
}
