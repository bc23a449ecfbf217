import type { KubeObjects, KubePath } from '../ports/kube-objects.ts';
import { ArtifactError } from '../util/error.ts';
import { isObject, JsonLimitError, type JsonObject, type JsonRules } from '../util/json.ts';
import { askApi, type KubeAnswer, type KubeRequest } from './api-request.ts';
import type { Cluster } from './cluster.ts';
import { longestAnswer, parseObjectJson } from './object-json.ts';
import { toRefusal } from './object-refusal.ts';
import { toFieldSelector, watchObjects } from './object-watch.ts';

/** Whose fields server-side apply sets. */
const manager = 'oci-artifact-csi';
/** In how many lists and objects an object of a list is. */
const itemDepth = 2;
const brief = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

export function openKubeObjects(cluster: Pick<Cluster, 'access'>): KubeObjects {
  type Wanted = Omit<KubeRequest, 'most'> & { readonly verb: string };

  /** Answers the object, or undefined for the code of an expected failure. */
  const ask = async (
    { verb, ...request }: Wanted,
    expected: number,
    signal: AbortSignal,
    measure?: JsonRules['measure'],
  ): Promise<unknown> => {
    const access = cluster.access();
    const answer = await askApi(access, { ...request, most: longestAnswer }, signal);
    if (answer.code === expected) return undefined;
    if (answer.code < 200 || answer.code >= 300) throw toRefusal(answer, verb, request.path, access.url);
    return parse(answer, signal, measure);
  };

  return {
    get: (path, signal, part) =>
      ask({ verb: 'get', method: 'GET', path, ...(part && { accept: brief }) }, 404, signal),
    async page(path, { limit, next, without }, signal) {
      const query = { limit: `${limit}`, ...(next && { continue: next }), ...toFieldSelector(without) };
      const sizes = new Map<unknown, number>();
      const measure = (value: unknown, bytes: number, depth: number): void => {
        if (depth === itemDepth) sizes.set(value, bytes);
      };
      const list = await ask({ verb: 'list', method: 'GET', path, query }, 0, signal, measure);
      const { items, metadata } = toObject(list);
      const { resourceVersion, continue: more } = toObject(metadata);
      const found: readonly unknown[] = Array.isArray(items) ? items : [];
      return {
        items: found.map(object => ({ object, bytes: sizes.get(object) ?? 0 })),
        version: typeof resourceVersion === 'string' ? resourceVersion : '',
        ...(typeof more === 'string' && more !== '' ? { next: more } : {}),
      };
    },
    watch: (path, from, onChange, signal) => watchObjects(cluster.access(), path, from, onChange, signal),
    create: (path, body, signal) => ask({ verb: 'create', method: 'POST', path, body }, 409, signal),
    replace: (path, body, signal) =>
      ask({ verb: 'update', method: 'PUT', path, body }, 409, signal).catch(ignoreGone),
    async apply(path, body, signal) {
      const type = 'application/apply-patch+yaml';
      const query = { fieldManager: manager, force: 'true' };
      await ask({ verb: 'patch', method: 'PATCH', path, query, body, type }, 0, signal);
    },
    async patch(path, body, signal) {
      await ask({ verb: 'patch', method: 'PATCH', path, body }, 0, signal);
    },
    async remove(path, resourceVersion, signal) {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } };
      await ask({ verb: 'delete', method: 'DELETE', path, body }, 409, signal).catch(ignoreGone);
    },
  };
}

function ignoreGone(thrown: unknown): undefined {
  if (!(thrown instanceof ArtifactError && thrown.code === 'not-found')) throw thrown;
}

/** @throws ArtifactError `exhausted` for an answer that is too much at once. */
async function parse(
  { text }: KubeAnswer,
  signal: AbortSignal,
  measure: JsonRules['measure'],
): Promise<unknown> {
  if (text.length > longestAnswer)
    throw new ArtifactError('exhausted', `the Kubernetes API answered more than ${longestAnswer} bytes`);
  try {
    return await parseObjectJson(text, signal, measure);
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof JsonLimitError)
      throw new ArtifactError('exhausted', `the Kubernetes API answered too much at once: ${thrown.message}`);
    // Without a cause: the message of a parser may quote a secret.
    throw new ArtifactError('unavailable', 'the Kubernetes API sent an object that cannot be read');
  }
}

function toObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

/** The path of the kind, or of one of its objects. */
export function pathOfKind(
  group: string,
  version: string,
  resource: string,
  { namespace, name }: { readonly namespace?: string | undefined; readonly name?: string } = {},
): KubePath {
  return [
    ...(group === '' ? ['api'] : ['apis', group]),
    version,
    ...(namespace === undefined ? [] : ['namespaces', namespace]),
    resource,
    ...(name === undefined ? [] : [name]),
  ];
}
