import { hash } from 'node:crypto';
import { join } from 'node:path';
import type { Endpoint } from '../oci/endpoint.ts';
import type { PodSecrets } from '../ports/kube.ts';
import type { Caller } from '../ports/registry.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { maxRuns, runProgram } from '../util/helper-process.ts';
import { createMemo, type MemoAnswer } from '../util/memo.ts';
import { createSemaphore } from '../util/mutex.ts';
import { canonicalHost, imageMatches } from './auth-key.ts';
import type { CredentialSource, FoundCredential } from './credential-source.ts';
import { candidates, type DockerConfig, toDockerConfig } from './docker-config.ts';
import { formatProviderRequest, type ProviderResponse, parseProviderResponse } from './provider-message.ts';
import { findToken } from './service-account.ts';

/** One credential provider plugin, as in kubelet's CredentialProviderConfig. */
export type ProviderConfig = {
  /** The program's name in the directory of the plugins. */
  readonly name: string;
  /** The version of the request on its standard input and the response on its standard output. */
  readonly apiVersion: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheMs: number;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly tokenAttributes?: TokenAttributes;
};

/** A provider that uses the token of a pod's service account. */
export type TokenAttributes = {
  readonly audience: string;
  readonly cacheType: 'ServiceAccount' | 'Token';
  /** If false, the provider is asked without a token if the caller has none. */
  readonly required: boolean;
  readonly requiredAnnotations: readonly string[];
  readonly optionalAnnotations: readonly string[];
};

/** The identity for which a provider is asked: all pods alike, or a service account by its token. */
type Account =
  | { readonly kind: 'node' }
  | {
      readonly kind: 'service-account';
      readonly namespace: string;
      readonly name: string;
      readonly token: string;
      readonly annotations: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'none'; readonly why: string };

/** kubelet's own limit, in milliseconds. */
const limitMs = 60_000;

/**
 * A credential provider plugin of kubelet: a program in `directory` that is run by exec if an image matches its
 * `matchImages`. Its answer is cached in memory for the duration and scope (image, registry or global) that it reports;
 * an answer for a service account is used for that service account, or its token, alone. If it fails, the next source
 * is used. Disposing it ends running programs.
 */
export function openProvider(
  config: ProviderConfig,
  directory: string,
  pods: PodSecrets | undefined,
  closing: AbortSignal,
): CredentialSource {
  const { name, apiVersion, args, environment, matchImages, tokenAttributes } = config;
  const label = `credential provider ${name}`;
  const memo = createMemo<DockerConfig>();
  const runs = createSemaphore(maxRuns);

  const ask = async (
    image: string,
    account: Exclude<Account, { kind: 'none' }>,
    keys: Keys,
  ): Promise<MemoAnswer<DockerConfig>> => {
    using _run = await runs.acquire(closing);
    // An answer to another caller may have arrived in the meantime, and cover this one too.
    const known = memo.find(keys.Registry) ?? memo.find(keys.Global);
    if (known !== undefined) return { value: known, forMs: 0 };
    const input = formatProviderRequest(apiVersion, { image, ...account });
    const program = { path: join(directory, name), args, environment, input, limitMs };
    const { code, output } = await runProgram(program, closing);
    if (code !== 0) {
      throw new ArtifactError('unavailable', `it ended with exit code ${code}; run it by hand to see why`);
    }
    const { auth, cacheKeyType, cacheMs } = parseProviderResponse(output, apiVersion);
    const holder =
      account.kind === 'node'
        ? account
        : ({ kind: account.kind, namespace: account.namespace, name: account.name } as const);
    return {
      value: toDockerConfig(auth, { name: label, holder, code: 'unavailable' }),
      forMs: cacheMs ?? config.defaultCacheMs,
      key: keys[cacheKeyType],
    };
  };

  const find = async (endpoint: Endpoint, caller: Caller, signal: AbortSignal): Promise<FoundCredential> => {
    const host = canonicalHost(endpoint.host);
    if (!matchImages.some(pattern => imageMatches(pattern, host, endpoint.path))) return { kind: 'none' };
    const account =
      tokenAttributes === undefined
        ? ({ kind: 'node' } as const)
        : await toAccount(tokenAttributes, caller, pods, signal);
    if (account.kind === 'none') return account;
    const image = `${host}/${endpoint.path}`;
    const keys = toKeys(host, image, toScope(account, tokenAttributes));
    const answer =
      memo.find(keys.Image) ??
      memo.find(keys.Registry) ??
      memo.find(keys.Global) ??
      (await memo.recall(keys.Image, () => ask(image, account, keys), signal));
    for (const candidate of candidates([answer], endpoint)) {
      if (candidate.kind === 'credential') return candidate;
    }
    return { kind: 'none' };
  };

  return {
    name: label,
    async find(endpoint, caller, signal) {
      try {
        return await find(endpoint, caller, signal);
      } catch (thrown) {
        signal.throwIfAborted();
        return { kind: 'none', why: toArtifactError(thrown).message };
      }
    },
  };
}

async function toAccount(
  attributes: TokenAttributes,
  caller: Caller,
  pods: PodSecrets | undefined,
  signal: AbortSignal,
): Promise<Account> {
  const { audience, required, requiredAnnotations, optionalAnnotations } = attributes;
  const { pod, secrets } = caller;
  if (pod?.serviceAccount === undefined) {
    return required
      ? { kind: 'none', why: 'it answers for service accounts alone, and this call is for none' }
      : { kind: 'node' };
  }
  const found = findToken(secrets, audience);
  if (found.kind === 'none') return found;
  const wanted = [...requiredAnnotations, ...optionalAnnotations];
  const all = wanted.length === 0 ? {} : ((await pods?.annotations(pod, signal)) ?? {});
  const missing = requiredAnnotations.find(key => !Object.hasOwn(all, key));
  if (missing !== undefined) {
    const name = `${pod.namespace}/${pod.serviceAccount}`;
    return { kind: 'none', why: `the service account ${name} has no annotation ${missing}` };
  }
  const annotations = Object.fromEntries(Object.entries(all).filter(([key]) => wanted.includes(key)));
  const { namespace, serviceAccount: name } = pod;
  return { kind: 'service-account', namespace, name, token: found.token, annotations };
}

type Keys = Readonly<Record<ProviderResponse['cacheKeyType'], string>>;

/** The cache key of an answer, which no other identity shares. */
function toKeys(host: string, image: string, scope: readonly unknown[]): Keys {
  const toKey = (...subject: readonly string[]): string => JSON.stringify([subject, scope]);
  return { Image: toKey('image', image), Registry: toKey('registry', host), Global: toKey('global') };
}

function toScope(account: Account, attributes: TokenAttributes | undefined): readonly unknown[] {
  if (account.kind !== 'service-account') return [];
  const { namespace, name, token, annotations } = account;
  const ofToken = attributes?.cacheType === 'Token' ? hash('sha256', token) : '';
  const sorted = Object.keys(annotations)
    .sort()
    .map(key => [key, annotations[key]]);
  return [namespace, name, sorted, ofToken];
}
