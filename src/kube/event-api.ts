import http, { type ClientRequest, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { abortable } from '../util/abortable.ts';
import { toArtifactError } from '../util/error.ts';
import { parseJson } from '../util/json.ts';
import type { Cluster } from './cluster.ts';
import type { EventObject } from './event-object.ts';

/** How the API answered. `failed` may pass; `waitMs` is its Retry-After. `refused`: nothing may be sent there. */
export type EventAnswer =
  | { readonly kind: 'done'; readonly count: number }
  | { readonly kind: 'exists' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'invalid'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string; readonly waitMs: number };

/** Writes events of a namespace. Neither throws; each ends within ten seconds. */
export type EventApi = {
  create(object: EventObject, signal: AbortSignal): Promise<EventAnswer>;
  /** Applies a merge patch. */
  patch(namespace: string, name: string, change: object, signal: AbortSignal): Promise<EventAnswer>;
};

const limitMs = 10_000;
/** Bytes of an answer that are read. An event has a few KiB. */
const longestAnswer = 64 * 1024;

export function openEventApi(cluster: Cluster): EventApi {
  const ask = async (
    method: 'POST' | 'PATCH',
    path: string,
    body: object,
    signal: AbortSignal,
  ): Promise<EventAnswer> => {
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(limitMs)]);
      const url = new URL(`${cluster.url.replace(/\/$/, '')}${path}`);
      // A program of a KUBECONFIG may make them.
      const { headers, ...options } = await abortable(cluster.credentials(), limited);
      const type = method === 'POST' ? 'application/json' : 'application/merge-patch+json';
      const request = (url.protocol === 'http:' ? http : https).request(url, {
        ...options,
        method,
        headers: { ...headers, 'content-type': type, accept: 'application/json' },
        signal: limited,
      });
      const responding = responseTo(request);
      request.end(JSON.stringify(body));
      const response = await responding;
      const text = await readText(response);
      limited.throwIfAborted(); // a body without a length ends like a complete one
      return toAnswer(cluster.url, response, text);
    } catch (thrown) {
      const why = `the Kubernetes API at ${cluster.url} cannot be asked: ${toArtifactError(thrown).message}`;
      return { kind: 'failed', why, waitMs: 0 };
    }
  };
  const pathOf = (namespace: string): string => `/api/v1/namespaces/${encodeURIComponent(namespace)}/events`;
  return {
    create: (object, signal) => ask('POST', pathOf(object.metadata.namespace), object, signal),
    patch: (namespace, name, change, signal) =>
      ask('PATCH', `${pathOf(namespace)}/${encodeURIComponent(name)}`, change, signal),
  };
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

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk as string;
    if (text.length > longestAnswer) break;
  }
  return text;
}

function toAnswer(url: string, { statusCode = 0, headers }: IncomingMessage, text: string): EventAnswer {
  const { count, message } = parseBody(text);
  if (statusCode >= 200 && statusCode < 300) return { kind: 'done', count };
  const why = `the Kubernetes API at ${url} answered ${statusCode}${message === '' ? '' : ` (${message})`}`;
  switch (statusCode) {
    case 403:
      return { kind: 'refused', why };
    case 404:
      return { kind: 'absent' };
    case 409:
      return { kind: 'exists' };
    case 401:
    case 408:
    case 429:
      return { kind: 'failed', why, waitMs: 1000 * (Number(headers['retry-after']) || 0) };
    default:
      if (statusCode < 500) return { kind: 'invalid', why };
      return { kind: 'failed', why, waitMs: 1000 * (Number(headers['retry-after']) || 0) };
  }
}

/** The fields of an event and of a Status that are used. */
function parseBody(text: string): { readonly count: number; readonly message: string } {
  try {
    const body = parseJson(text) as { readonly count?: unknown; readonly message?: unknown };
    return {
      count: typeof body.count === 'number' ? body.count : 1,
      message: typeof body.message === 'string' ? body.message.slice(0, 256) : '',
    };
  } catch {
    return { count: 1, message: '' };
  }
}
