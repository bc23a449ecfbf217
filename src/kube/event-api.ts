import { toArtifactError } from '../util/error.ts';
import { parseJson } from '../util/json.ts';
import { askApi, type KubeAnswer } from './api-request.ts';
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

/** Bytes of an answer that are read. An event has a few KiB. */
const longestAnswer = 64 * 1024;

export function openEventApi(cluster: Pick<Cluster, 'access'>): EventApi {
  const ask = async (
    method: 'POST' | 'PATCH',
    path: readonly string[],
    body: object,
    signal: AbortSignal,
  ): Promise<EventAnswer> => {
    try {
      const access = cluster.access();
      const answer = await askApi(access, { method, path, body, most: longestAnswer }, signal);
      return toAnswer(access.url, answer);
    } catch (thrown) {
      return { kind: 'failed', why: toArtifactError(thrown).message, waitMs: 0 };
    }
  };
  const pathOf = (namespace: string): string[] => ['api', 'v1', 'namespaces', namespace, 'events'];
  return {
    create: (object, signal) => ask('POST', pathOf(object.metadata.namespace), object, signal),
    patch: (namespace, name, change, signal) => ask('PATCH', [...pathOf(namespace), name], change, signal),
  };
}

function toAnswer(url: string, { code, headers, text }: KubeAnswer): EventAnswer {
  const { count, message } = parseBody(text);
  if (code >= 200 && code < 300) return { kind: 'done', count };
  const why = `the Kubernetes API at ${url} answered ${code}${message === '' ? '' : ` (${message})`}`;
  switch (code) {
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
      if (code < 500) return { kind: 'invalid', why };
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
