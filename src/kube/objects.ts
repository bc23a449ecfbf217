import type { KubeObjects } from '../ports/kube-objects.ts';
import { ArtifactError } from '../util/error.ts';
import { parseJsonInSteps } from '../util/json.ts';
import { doInSlices } from '../util/pace.ts';
import { askApi, type KubeAnswer, type KubeRequest } from './api-request.ts';
import type { Cluster } from './cluster.ts';
import { toRefusal } from './object-refusal.ts';

/** Bytes of an answer that are read. An object has some MiB at most. */
const longestAnswer = 8 * 1024 * 1024;

export function openKubeObjects(cluster: Pick<Cluster, 'access'>): KubeObjects {
  type Wanted = Omit<KubeRequest, 'most'> & { readonly verb: string };

  /** Answers the object, or undefined for the code of an expected failure. */
  const ask = async (
    { verb, ...request }: Wanted,
    expected: number,
    signal: AbortSignal,
  ): Promise<unknown> => {
    const access = cluster.access();
    const answer = await askApi(access, { ...request, most: longestAnswer }, signal);
    if (answer.code === expected) return undefined;
    if (answer.code < 200 || answer.code >= 300) throw toRefusal(answer, verb, request.path, access.url);
    return parse(answer, signal);
  };

  return {
    get: (path, signal) => ask({ verb: 'get', method: 'GET', path }, 404, signal),
    create: (path, body, signal) => ask({ verb: 'create', method: 'POST', path, body }, 409, signal),
    replace: (path, body, signal) => ask({ verb: 'update', method: 'PUT', path, body }, 409, signal),
    async remove(path, resourceVersion, signal) {
      const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { resourceVersion } };
      await ask({ verb: 'delete', method: 'DELETE', path, body }, 409, signal).catch((thrown: unknown) => {
        if (!(thrown instanceof ArtifactError && thrown.code === 'not-found')) throw thrown;
      });
    },
  };
}

/** @throws ArtifactError `exhausted` for an answer that was not read to its end. */
async function parse({ text }: KubeAnswer, signal: AbortSignal): Promise<unknown> {
  if (text.length > longestAnswer)
    throw new ArtifactError('exhausted', `the Kubernetes API answered more than ${longestAnswer} bytes`);
  try {
    return await doInSlices(parseJsonInSteps(text, { maxBytes: 4 * longestAnswer }), signal);
  } catch {
    signal.throwIfAborted();
    // Without a cause: the message of a parser may quote a secret.
    throw new ArtifactError('unavailable', 'the Kubernetes API sent an object that cannot be read');
  }
}
