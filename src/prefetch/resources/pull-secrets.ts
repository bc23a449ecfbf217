import type { KubeObjects } from '../../ports/kube-objects.ts';
import { ArtifactError, type ErrorCode, toArtifactError } from '../../util/error.ts';
import { isObject, type JsonObject, parseJson } from '../../util/json.ts';
import type { RequestTurn } from '../../util/request-pace.ts';
import type { SecretName } from './resource.ts';

/** Reads pull secrets, as the secrets of one call. @throws `denied` or `not-found` naming the secret. */
export type ReadPullSecrets = (
  names: readonly SecretName[],
  signal: AbortSignal,
) => Promise<Readonly<Record<string, string>>>;

/** How long a secret is used, and how long one that cannot be is not asked for again, ms. */
const [ttlMs, refusalMs] = [5 * 60_000, 60_000];
const [mostKnown, mostRefused] = [64, 1_024];
/** What the next request would get, too. */
const lasting: readonly ErrorCode[] = ['denied', 'not-found', 'invalid'];

/** @param now milliseconds of a monotonic clock. */
export function openPullSecrets(
  objects: Pick<KubeObjects, 'get'>,
  turn: RequestTurn,
  now: () => number = () => performance.now(),
): ReadPullSecrets {
  const known = new Map<string, { readonly auths: JsonObject; readonly until: number }>();
  const refused = new Map<string, { readonly error: ArtifactError; readonly until: number }>();

  const ask = async ({ namespace, name }: SecretName, signal: AbortSignal): Promise<JsonObject> => {
    const subject = `the pull secret ${namespace}/${name}`;
    await turn(signal);
    const path = ['api', 'v1', 'namespaces', namespace, 'secrets', name];
    const secret = await objects.get(path, signal).catch((thrown: unknown) => {
      signal.throwIfAborted();
      const { code, message } = toArtifactError(thrown);
      const advice = code === 'denied' ? '; add it to prefetchSecrets of the chart' : '';
      throw new ArtifactError(code, `${subject} cannot be read${advice}: ${message}`, thrown);
    });
    if (secret === undefined) throw new ArtifactError('not-found', `${subject} does not exist; create it`);
    return toAuths(secret, subject);
  };

  const read = async (name: SecretName, signal: AbortSignal): Promise<JsonObject> => {
    const key = `${name.namespace}/${name.name}`;
    const found = known.get(key);
    if (found !== undefined && now() < found.until) return found.auths;
    const refusal = refused.get(key);
    if (refusal !== undefined && now() < refusal.until) throw refusal.error;
    try {
      const auths = await ask(name, signal);
      if (known.size >= mostKnown) known.clear();
      known.set(key, { auths, until: now() + ttlMs });
      return auths;
    } catch (thrown) {
      signal.throwIfAborted();
      const error = toArtifactError(thrown);
      if (!lasting.includes(error.code)) throw error;
      if (refused.size >= mostRefused) refused.clear();
      refused.set(key, { error, until: now() + refusalMs });
      throw error;
    }
  };

  return async (names, signal) => {
    let auths: JsonObject = {};
    // Of equal entries, that of the first secret wins.
    for (const name of names) auths = { ...(await read(name, signal)), ...auths };
    return names.length === 0 ? {} : { '.dockerconfigjson': JSON.stringify({ auths }) };
  };
}

/** @throws ArtifactError `invalid`; it quotes nothing of the secret. */
function toAuths(secret: unknown, subject: string): JsonObject {
  const data = isObject(secret) ? secret['data'] : undefined;
  const decode = (key: string): unknown => {
    const text = isObject(data) ? data[key] : undefined;
    if (typeof text !== 'string') return undefined;
    try {
      return parseJson(Buffer.from(text, 'base64').toString());
    } catch {
      throw new ArtifactError('invalid', `${subject} has a ${key} that is not JSON; create it again`);
    }
  };
  const config = decode('.dockerconfigjson');
  const auths = isObject(config) ? config['auths'] : decode('.dockercfg');
  if (isObject(auths)) return auths;
  const types = 'kubernetes.io/dockerconfigjson or kubernetes.io/dockercfg';
  throw new ArtifactError('invalid', `${subject} is no pull secret; create it with the type ${types}`);
}
