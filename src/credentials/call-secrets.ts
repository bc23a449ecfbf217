import { tokensKey } from '../oci/credential.ts';
import { formatReference, type Reference } from '../oci/reference.ts';
import type { Caller } from '../ports/registry.ts';
import { ArtifactError } from '../util/error.ts';
import { quoteName } from '../util/name.ts';
import type { RegistryPath } from './auth-key.ts';
import type { CredentialSource, FoundCredential } from './credential-source.ts';
import {
  type CredentialOrigin,
  candidates,
  type DockerConfig,
  parseDockerConfig,
  toBasic,
} from './docker-config.ts';

/** The keys of an image pull secret, with the form of each. */
const forms = [
  ['.dockerconfigjson', 'auths'],
  ['.dockercfg', 'dockercfg'],
] as const;

/** The keys of a secret that are listed at most. */
const mostKeys = 5;

function describeForeign(keys: readonly string[]): string {
  const told = keys.slice(0, mostKeys).map(quoteName).join(', ');
  const more = keys.length > mostKeys ? ` and ${keys.length - mostKeys} more` : '';
  return `it has the keys ${told}${more}; it needs ${forms.map(([key]) => key).join(', ')}, or username and password`;
}

/** How messages name the secrets of a call: a pod's belong to its volume, a command's to its flags. */
type Words = {
  readonly config: (key: string) => string;
  readonly login: string;
  readonly whole: string;
  readonly none: string;
  /** What to do if a registry requires a credential, if it differs from the advice for a pod. */
  readonly advice?: string;
};

export function wordsFor({ caller = 'pod' }: { readonly caller?: Caller['caller'] | undefined }): Words {
  return words[caller];
}

const words: Readonly<Record<NonNullable<Caller['caller']>, Words>> = {
  pod: {
    config: key => `${key} of nodePublishSecretRef`,
    login: 'username and password of nodePublishSecretRef',
    whole: 'nodePublishSecretRef',
    none: 'nodePublishSecretRef: this call has none',
  },
  administrator: {
    config: () => '--auth-file',
    login: '--username and --password-stdin',
    whole: 'the call',
    none: 'the command line: neither --username nor --auth-file',
    advice: 'give a credential with --username and --password-stdin, or with --auth-file',
  },
  prefetch: {
    config: () => 'the pull secrets of the prefetch',
    login: 'username and password of the pull secrets of the prefetch',
    whole: 'the pull secrets of the prefetch',
    none: 'the prefetch: it brings none',
    advice:
      'give the node a credential, by --auth-file or a credential provider; a custom resource can name pullSecrets',
  },
};

/**
 * Reads the secrets of one call, from nodePublishSecretRef or a command, in this order: `.dockerconfigjson`,
 * `.dockercfg`, then `username` and `password`. Other keys are ignored; if there is no other, a message says so.
 */
export function toCallSources({
  secrets,
  caller,
  candidates = [],
}: Pick<Caller, 'secrets' | 'caller' | 'candidates'>): readonly CredentialSource[] {
  const { config, login, whole } = wordsFor({ caller });
  const holder = { kind: 'secret' } as const;
  const sources: CredentialSource[] = [];
  for (const [key, form] of forms) {
    const text = secrets[key];
    if (text === undefined) continue;
    const origin: CredentialOrigin = { name: config(key), holder, code: 'invalid' };
    sources.push({
      name: origin.name,
      find: async endpoint => firstOf([parseDockerConfig(text, form, origin)], endpoint),
    });
  }
  const { username, password } = secrets;
  if (username === undefined && password === undefined) {
    const foreign = Object.keys(secrets).filter(key => key !== tokensKey);
    if (sources.length > 0 || foreign.length === 0) return sources;
    return [{ name: whole, find: async () => ({ kind: 'none', why: describeForeign(foreign) }) }];
  }
  const origin: CredentialOrigin = { name: login, holder, code: 'invalid' };
  sources.push({
    name: origin.name,
    async find({ mirrorOf }) {
      if (username === undefined || password === undefined) {
        throw new ArtifactError('invalid', `${whole} has only one of username and password; give it both`);
      }
      if (mirrorOf !== undefined) {
        return {
          kind: 'none',
          why: `they name no host, so they are for ${mirrorOf} and not for its mirrors`,
        };
      }
      if (isAmbiguous(candidates)) {
        return {
          kind: 'none',
          why: `they name no host, and the short name may stand for ${candidates.map(formatReference).join(' or ')}; write one of them`,
        };
      }
      const credential = toBasic(username, password, '', origin);
      return credential === undefined ? { kind: 'none' } : { kind: 'credential', credential };
    },
  });
  return sources;
}

/** Whether a credential that names no host could be meant for several registries: the first of them would see it. */
export function isAmbiguous(candidates: readonly Reference[]): boolean {
  return new Set(candidates.map(({ registry }) => registry)).size > 1;
}

/** Reads one pull secret of a pod; undefined if it has none of the keys. @throws as parseDockerConfig. */
export function parsePullSecret(
  name: string,
  data: Readonly<Record<string, string>>,
): DockerConfig | undefined {
  for (const [key, form] of forms) {
    const text = data[key];
    if (text === undefined) continue;
    const origin: CredentialOrigin = {
      name: `the pull secret ${name}`,
      holder: { kind: 'pod' },
      code: 'invalid',
    };
    return parseDockerConfig(text, form, origin);
  }
  return undefined;
}

/** Returns the credential of the most specific key; credential helpers are ignored. */
export function firstOf(configs: readonly DockerConfig[], endpoint: RegistryPath): FoundCredential {
  let left: string | undefined;
  for (const candidate of candidates(configs, endpoint)) {
    if (candidate.kind === 'credential') return candidate;
    left ??= candidate.field;
  }
  if (left === undefined) return { kind: 'none' };
  return {
    kind: 'none',
    why: `it leaves this to a program (${left}), and only those of --auth-file are run`,
  };
}
