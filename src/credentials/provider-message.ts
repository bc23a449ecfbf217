import { ArtifactError } from '../util/error.ts';
import { parseGoDuration } from '../util/go-duration.ts';
import { isObject, type JsonObject, parseJson } from '../util/json.ts';

/** A CredentialProviderRequest: `image` is host and repository, without tag or digest. */
export type ProviderRequest = {
  readonly image: string;
  readonly token?: string;
  readonly annotations?: Readonly<Record<string, string>>;
};

/** A CredentialProviderResponse. */
export type ProviderResponse = {
  /** The scope for which the answer may be cached. */
  readonly cacheKeyType: 'Image' | 'Registry' | 'Global';
  /** Milliseconds; undefined: the provider's default. */
  readonly cacheMs?: number;
  /** Credentials by registry keys, which may be globs; not validated yet. */
  readonly auth: JsonObject;
};

/** Formats the JSON that a plugin reads from standard input (credentialprovider.kubelet.k8s.io). */
export function formatProviderRequest(apiVersion: string, request: ProviderRequest): string {
  const { image, token, annotations } = request;
  return JSON.stringify({
    kind: 'CredentialProviderRequest',
    apiVersion,
    image,
    ...(token === undefined ? {} : { serviceAccountToken: token }),
    ...(annotations === undefined || Object.keys(annotations).length === 0
      ? {}
      : { serviceAccountAnnotations: annotations }),
  });
}

/**
 * Parses the JSON that a plugin writes to standard output, in the version of the request.
 *
 * @throws ArtifactError `unavailable` naming the field, without a quote.
 */
export function parseProviderResponse(text: string, apiVersion: string): ProviderResponse {
  const refuse = (why: string): never => {
    throw new ArtifactError('unavailable', `its answer ${why}`);
  };
  const fields = parse(text);
  if (!isObject(fields)) return refuse('is not a JSON object');
  if (fields['kind'] !== 'CredentialProviderResponse') refuse('is not of kind CredentialProviderResponse');
  if (fields['apiVersion'] !== apiVersion) refuse(`is not of apiVersion ${apiVersion}`);
  const { cacheKeyType, cacheDuration = null } = fields;
  const auth = fields['auth'] ?? {};
  if (cacheKeyType !== 'Image' && cacheKeyType !== 'Registry' && cacheKeyType !== 'Global') {
    return refuse('has no cacheKeyType of Image, Registry or Global');
  }
  const cacheMs = typeof cacheDuration === 'string' ? parseGoDuration(cacheDuration) : undefined;
  if (cacheDuration !== null && cacheMs === undefined) refuse('has a cacheDuration that is no duration');
  if (!isObject(auth)) return refuse('has an auth that is not an object');
  return {
    cacheKeyType,
    ...(cacheMs === undefined ? {} : { cacheMs }),
    auth,
  };
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
