import { type Keyring, tokensKey } from '../../oci/credential.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/reference.ts';
import type { Content, Found, Registry } from '../../ports/registry.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import { doAll } from '../../util/abortable.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import type { AccessCache, Asker, Provenance } from './access-cache.ts';

/**
 * Decides whether a caller may have what the cache has. Being cached grants no access: the registry decides who may
 * read a repository and what is in it, and its decisions are remembered. A refused caller gets the registry's answer,
 * as if nothing were cached, so that callers cannot learn what a node has cached.
 */
export type AccessCheck = {
  /**
   * Records the access of a caller that the registry has just answered. Asks the registry for a caller that was served
   * from the cache and is not remembered.
   *
   * @throws ArtifactError as the registry answers, about the digest.
   */
  admit(resolution: Resolution, request: PullRequest, keyring: Keyring, signal: AbortSignal): Promise<Scope>;
  /** Asks the registry for a caller that was admitted to loaded content, and needs more. @throws as `admit`. */
  ask(resolution: Resolution, request: PullRequest, keyring: Keyring, signal: AbortSignal): Promise<void>;
  /** Whether an administrator has loaded this content for the repository. */
  isLoaded(repository: Repository, digest: Digest): boolean;
  /** Records content that an administrator has loaded: every pod of the node may have it, and nothing else. */
  grant(repository: Repository, digests: readonly Digest[]): Promise<void>;
  /** Forgets content that is no longer cached. */
  sweep(isHeld: (digest: Digest) => Promise<boolean>): Promise<void>;
  /** Whether this is known to be in the repository. Asks nobody. */
  knows(repository: Repository, digest: Digest): boolean;
  /** Whether its registry has served the repository, and whether any has shown this content, to anyone at all. */
  isOpen(repository: Repository): boolean;
  isPublic(digest: Digest): boolean;
  /** Records that the registry has refused the repository to a caller without any credential. */
  withdraw(repository: Repository): Promise<void>;
  /** Records content that was downloaded from a repository, and which endpoint served it, in memory. */
  note(repository: Repository, served: readonly Provenance[]): void;
  /** Writes what was recorded for a repository. */
  save(repository: Repository): Promise<void>;
  /**
   * Asks the registry by HEAD whether the repository has what another repository of that registry has shown. Records
   * what it confirms. Returns the rest, which only its bytes prove, because a manifest can list any digest.
   *
   * @throws ArtifactError as the registry answers, unless it is unavailable: a mirror may still have the content.
   */
  confirm(
    repository: Repository,
    contents: readonly Content[],
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<readonly Content[]>;
};

/** What a caller may have: what is in the repository, or only what an administrator has loaded of it. */
export type Scope = 'repository' | 'loaded';

/** For nodes whose pods may all have what is cached. */
export const unrestrictedAccess: AccessCheck = {
  admit: async () => 'repository',
  ask: async () => undefined,
  isLoaded: () => true,
  grant: async () => undefined,
  knows: () => true,
  // Nothing is recorded.
  isOpen: () => false,
  isPublic: () => false,
  withdraw: async () => undefined,
  note: () => {},
  save: async () => undefined,
  sweep: async () => undefined,
  confirm: async () => [],
};

/** Questions of one pull at once. An artifact may have 20,000 layers. */
const maxQuestions = 8;

export function createAccessCheck(memory: AccessCache, registry: Registry): AccessCheck {
  /** A mirror proves no access for others, so its answer counts only for this call. */
  const remember = async (
    repository: Repository,
    { credential, servedBy }: Pick<Found, 'credential' | 'servedBy'>,
    asker: Asker,
  ): Promise<void> => {
    if (servedBy.mirrorOf === undefined) await memory.admit(repository, credential.holder, asker);
  };

  const ask = async (resolution: Resolution, request: PullRequest, keyring: Keyring, signal: AbortSignal) => {
    const { reference, descriptor } = resolution;
    const pinned = { ...reference, pinned: descriptor.digest };
    await remember(reference, await registry.resolve(pinned, keyring, signal), toAsker(request));
  };

  return {
    async admit(resolution, request, keyring, signal) {
      const asker = toAsker(request);
      const { reference, credential, servedBy } = resolution;
      if (credential !== undefined && servedBy !== undefined) {
        await remember(reference, { credential, servedBy }, asker);
        return 'repository';
      }
      const isTrusted = request.caller !== 'pod' && request.namespace === undefined;
      if (isTrusted || memory.admits(reference, asker)) return 'repository';
      if (memory.isLoaded(reference, resolution.descriptor.digest)) return 'loaded';
      await ask(resolution, request, keyring, signal);
      return 'repository';
    },
    ask,
    isLoaded: memory.isLoaded,
    grant: memory.load,
    knows: memory.knows,
    isOpen: memory.isOpen,
    isPublic: memory.isPublic,
    withdraw: memory.withdraw,
    note: memory.note,
    save: memory.save,
    sweep: memory.sweep,
    async confirm(repository, contents, keyring, signal) {
      const rest = new Set(contents);
      const near = contents.filter(({ descriptor }) => memory.isNear(repository, descriptor.digest));
      let isAway = false;
      const ask = async (content: Content, signal: AbortSignal): Promise<void> => {
        if (isAway) return;
        const servedBy = await registry.has(repository, content, keyring, signal).catch((thrown: unknown) => {
          if (toArtifactError(thrown).code !== 'unavailable') throw thrown;
          isAway = true;
        });
        if (servedBy === undefined) return;
        rest.delete(content);
        memory.note(repository, [{ digest: content.descriptor.digest, servedBy }]);
      };
      try {
        // An unavailable registry is waited for once.
        const [first, ...others] = near;
        if (first !== undefined) await ask(first, signal);
        await doAll(others, maxQuestions, ask, signal);
      } finally {
        await memory.save(repository);
      }
      return [...rest];
    },
  };
}

function toAsker({ secrets, pod }: PullRequest): Asker {
  // Tokens differ at each call.
  const keys = Object.keys(secrets)
    .filter(key => key !== tokensKey)
    .sort();
  return {
    ...(pod === undefined ? {} : { pod }),
    ...(keys.length === 0 ? {} : { brought: JSON.stringify(keys.map(key => [key, secrets[key]])) }),
  };
}

/** Makes the error for missing content that no registry may be asked for. `what` describes it, with the reference. */
export type Missing = (what: string, digest: Digest) => ArtifactError;

/** A pod gets the same error for content that is cached for others only. */
function openMissing({ reference, caller, brought }: Asked): Missing {
  if (caller === 'pod') return () => toNotCached(reference);
  const [source, advice] =
    brought === undefined
      ? ['cache', 'pull it with another pull policy, or load it from a layout']
      : ['layout', 'write the layout again, with all of its blobs'];
  const why =
    brought === undefined ? '' : ', and nothing that was pulled or loaded for that repository has it';
  return (what, digest) =>
    new ArtifactError('not-found', `the ${source} lacks ${digest}, ${what}${why}; ${advice}`);
}

type Asked = Pick<PullRequest, 'reference' | 'caller' | 'brought'>;

/** How an offline request of an administrator uses the cache. `isGiven`: whether cached content may be used. */
export type Possession = { readonly missing: Missing; readonly isGiven: (digest: Digest) => boolean };

/** Content of a layout must come with it, or be known to be in its repository; no registry is asked. */
export function openPossession(request: Asked, isKnown: (digest: Digest) => boolean): Possession {
  const { brought } = request;
  return {
    missing: openMissing(request),
    isGiven: digest => brought === undefined || brought.has(digest) || isKnown(digest),
  };
}

/**
 * The error for content that is not cached, or cached for others only, while `pullPolicy: Never` forbids to ask the
 * registry.
 */
export function toNotCached(what: string): ArtifactError {
  return new ArtifactError(
    'not-found',
    `${what} is not in this node's cache for this pod, and pullPolicy Never forbids to pull it; load it there first, or set IfNotPresent, with a credential that may read it`,
  );
}

/** How messages name a manifest, an index or a config. */
export function nameDocument(kind: Content['kind'], reference: string): string {
  return `the ${kind === 'manifest' ? 'manifest' : 'config'} of ${reference}`;
}
