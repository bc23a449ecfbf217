import { createHmac, randomBytes } from 'node:crypto';
import { type Note, obstaclesOf, type Part, problemsOf, valueOf } from '../configfile/watched-file.ts';
import { type Credential, tokensKey } from '../oci/credential.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { PodSecrets } from '../ports/kube.ts';
import type { Caller, Keychain } from '../ports/registry.ts';
import { abortable } from '../util/abortable.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';
import { createMemo } from '../util/memo.ts';
import { openAuthFile } from './auth-file.ts';
import { canonicalHost } from './auth-key.ts';
import { isAmbiguous, toCallSources, wordsFor } from './call-secrets.ts';
import { openCredentialHelpers } from './credential-helper.ts';
import type { CredentialSource, FoundCredential } from './credential-source.ts';
import { openPodSecrets } from './pod-secrets.ts';
import type { ProviderMeans } from './providers.ts';

export type KeychainOptions = {
  readonly authFile?: string | undefined;
  /** Opens kubelet's credential provider plugins. */
  readonly providers?: ((means: ProviderMeans) => () => Part<readonly CredentialSource[]>) | undefined;
  /** The objects of the Kubernetes API; undefined if it is not used. */
  readonly pods?: PodSecrets | undefined;
  /** Salts the id of a keyring. The same salt after a restart recognizes the same callers. */
  readonly salt?: string;
  /** Called once for a file that broke, and for one that changed. */
  readonly note?: Note;
};

/**
 * The credentials of a caller. The first source with a match for an upstream wins:
 *
 * 1. the secrets of the call (nodePublishSecretRef, or the flags of a command): `.dockerconfigjson`, `.dockercfg`,
 *    `username` and `password`, which name no host: not for mirrors, nor for a short name of several registries;
 * 2. with `pods`, the pull secrets of the pod and of its service account;
 * 3. kubelet's credential provider plugins;
 * 4. the auth file, and the credential helpers that it names;
 * 5. nothing: anonymous, whose source says where nothing was found.
 *
 * The lookup uses the upstream that is really asked, so a credential goes to its own host alone. A keyring asks its
 * sources for one repository at most once a minute.
 *
 * Its `find` throws ArtifactError `invalid` for a malformed secret; `unavailable` for an auth file or a configuration
 * of providers that never was right; what `pods` throws; the signal's reason. No error quotes a secret. A plugin or
 * helper that fails is skipped, and named if nothing else matches.
 */
export type NodeKeychain = Disposable &
  Keychain & {
    /** Returns what is wrong with the present files. */
    problems(): readonly string[];
    /** Returns the problems that cause refusals, because the files never were right. */
    obstacles(): readonly string[];
  };

const ttlMs = 60_000;

/** Opens the sources. Files are read on use, and again only if they changed. Disposing it ends running programs. */
export function openKeychain(options: KeychainOptions): NodeKeychain {
  const closing = new AbortController();
  const { pods, note = () => {}, salt = randomBytes(32).toString('hex') } = options;
  const podSecrets = pods === undefined ? undefined : openPodSecrets(pods);
  const providers = options.providers?.({ pods, note, closing: closing.signal });
  const authFile =
    options.authFile === undefined
      ? undefined
      : openAuthFile(options.authFile, openCredentialHelpers(closing.signal), note);

  /** One after the other: a file is read only if no earlier source matched. */
  function* stepsOf(caller: Caller): Generator<Step> {
    yield { sources: toCallSources(caller), otherwise: wordsFor(caller).none };
    yield { sources: toList(podSecrets), otherwise: "the pod's pull secrets: off (--pod-pull-secrets)" };
    yield {
      sources: providers === undefined ? [] : valueOf(providers()),
      otherwise: 'credential providers: none (--credential-provider-config)',
    };
    yield { sources: toList(authFile), otherwise: "the node's auth file: none (--auth-file of serve)" };
  }

  const files = [providers, authFile?.current].filter(file => file !== undefined);
  const problems = (): readonly string[] => problemsOf(...files.map(current => current()));
  problems(); // reports what is wrong from the start

  /** Everything that decides the result, and nothing else: callers with equal ids share a download. */
  const idOf = ({ secrets, pod, candidates = [] }: Caller): string => {
    const { [tokensKey]: tokens, ...others } = secrets;
    const decisive = [
      Object.keys(others)
        .sort()
        .map(key => [key, others[key]]),
      podSecrets === undefined ? undefined : pod?.uid,
      providers === undefined ? undefined : [tokens, pod?.namespace, pod?.serviceAccount],
      ...(isAmbiguous(candidates) && 'username' in others ? ['without the login'] : []),
    ];
    return createHmac('sha256', salt).update(JSON.stringify(decisive)).digest('hex');
  };

  return {
    open(caller) {
      const memo = createMemo<Credential>();
      return {
        id: idOf(caller),
        find: (endpoint, signal) =>
          memo.recall(
            JSON.stringify([endpoint.host, endpoint.path, endpoint.mirrorOf]),
            async () => ({
              value: await find(stepsOf(caller), endpoint, caller, closing.signal),
              forMs: ttlMs,
            }),
            signal,
          ),
      };
    },
    async explain(endpoint, caller, signal) {
      const lines: string[] = [];
      let used = false;
      for (const { sources, otherwise } of stepsOf(caller)) {
        if (sources.length === 0) lines.push(otherwise);
        for (const source of sources) {
          const finding = source.find(endpoint, caller, closing.signal).catch((thrown: unknown) => {
            return { kind: 'none', why: toArtifactError(thrown).message } as const;
          });
          const found = await abortable(finding, signal);
          lines.push(`${source.name}: ${describe(found, endpoint, used)}`);
          used ||= found.kind === 'credential';
        }
      }
      return [...lines, `anonymous: ${used ? 'not needed' : 'used'}`];
    },
    problems,
    obstacles: () => obstaclesOf(...files.map(current => current())),
    [Symbol.dispose]() {
      closing.abort(new ArtifactError('unavailable', 'the daemon is stopping; call again'));
    },
  };
}

/** Sources of equal priority, and the message if there are none. */
type Step = { readonly sources: readonly CredentialSource[]; readonly otherwise: string };

function toList(source: CredentialSource | undefined): readonly CredentialSource[] {
  return source === undefined ? [] : [source];
}

async function find(
  steps: Iterable<Step>,
  endpoint: Endpoint,
  caller: Caller,
  signal: AbortSignal,
): Promise<Credential> {
  const silent: string[] = [];
  const reasons: string[] = [];
  for (const { sources } of steps) {
    for (const source of sources) {
      signal.throwIfAborted();
      const found = await source.find(endpoint, caller, signal);
      if (found.kind === 'credential') return found.credential;
      if (found.why === undefined) silent.push(source.name);
      else reasons.push(`${source.name}: ${found.why}`);
    }
  }
  if (silent.length > 0)
    reasons.unshift(`no entry for ${canonicalHost(endpoint.host)} in ${silent.join(', ')}`);
  const why = reasons.length === 0 ? '' : ` (${reasons.join('; ')})`;
  const { advice } = wordsFor(caller);
  const anonymous = { kind: 'anonymous', holder: { kind: 'anyone' }, source: `anonymous${why}` } as const;
  return advice === undefined ? anonymous : { ...anonymous, advice };
}

function describe(found: FoundCredential, endpoint: Endpoint, used: boolean): string {
  if (found.kind === 'none')
    return found.why ?? `nothing for ${canonicalHost(endpoint.host)}/${endpoint.path}`;
  return `${used ? 'would fit, but comes later' : 'used'} (${found.credential.source})`;
}
