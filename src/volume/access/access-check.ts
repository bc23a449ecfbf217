import { type Keyring, tokensKey } from '../../oci/credential.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/reference.ts';
import type { Content, Found, Registry, ServedBy } from '../../ports/registry.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import { toArtifactError } from '../../util/error.ts';
import { createHashingSink } from '../sinks/hashing-sink.ts';
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
  admit(resolution: Resolution, request: PullRequest, keyring: Keyring, signal: AbortSignal): Promise<void>;
  /** Records content that an administrator has loaded: every pod of the node may have it. */
  grant(repository: Repository, digests: readonly Digest[]): Promise<void>;
  /** Forgets content that is no longer cached. */
  sweep(isHeld: (digest: Digest) => Promise<boolean>): Promise<void>;
  /** Whether this is known to be in the repository. Asks nobody. */
  knows(repository: Repository, digest: Digest): boolean;
  /** Records content that was downloaded from a repository, and which endpoint served it, in memory. */
  note(repository: Repository, served: readonly Provenance[]): void;
  /** Writes what was recorded for a repository. */
  save(repository: Repository): Promise<void>;
  /**
   * Verifies that all of it is in the repository: remembered, or confirmed by its registry. If the bytes came from
   * another registry, they are downloaded from this one, hashed and dropped. This is needed because a manifest can list
   * any digest. Content embedded in a descriptor needs no check.
   *
   * @throws ArtifactError as the registry answers a request for that content.
   */
  confirm(
    repository: Repository,
    contents: readonly Content[],
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<void>;
};

/** For nodes whose pods may all have what is cached. */
export const unrestrictedAccess: AccessCheck = {
  admit: async () => undefined,
  grant: async () => undefined,
  knows: () => true,
  note: () => {},
  save: async () => undefined,
  sweep: async () => undefined,
  confirm: async () => undefined,
};

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

  /**
   * Finds the endpoint that proves that content is in the repository. Asks an unavailable registry once. If no endpoint
   * has it, requests the content itself, so that the error does not depend on the cache.
   */
  const openSearch = (repository: Repository, keyring: Keyring, signal: AbortSignal) => {
    let isAway = false;
    return async (content: Content): Promise<ServedBy> => {
      const { kind, descriptor } = content;
      if (!isAway && memory.isNear(repository, descriptor.digest)) {
        const answer = await registry.has(repository, content, keyring, signal).catch((thrown: unknown) => {
          if (toArtifactError(thrown).code === 'unavailable') return undefined; // a mirror may still have it
          throw thrown;
        });
        if (answer === true) return {};
        isAway = answer === undefined;
      }
      if (kind === 'manifest')
        return (await registry.manifest(repository, descriptor, keyring, signal)).servedBy;
      const sink = createHashingSink(descriptor);
      const servedBy = await registry.blob(repository, descriptor, sink, keyring, signal);
      sink.verified();
      return servedBy;
    };
  };

  return {
    async admit(resolution, request, keyring, signal) {
      const asker = toAsker(request);
      const { reference, credential, servedBy } = resolution;
      if (credential !== undefined && servedBy !== undefined)
        return remember(reference, { credential, servedBy }, asker);
      if (request.caller !== 'pod' || memory.admits(reference, asker)) return;
      await ask(resolution, request, keyring, signal);
    },
    async grant(repository, digests) {
      await memory.admit(repository, { kind: 'node' }, {});
      const servedBy = {};
      await memory.learn(
        repository,
        digests.map(digest => ({ digest, servedBy })),
      );
    },
    knows: memory.knows,
    note: memory.note,
    save: memory.save,
    sweep: memory.sweep,
    async confirm(repository, contents, keyring, signal) {
      const strange = contents.filter(
        ({ descriptor }) => descriptor.data === undefined && !memory.knows(repository, descriptor.digest),
      );
      const search = openSearch(repository, keyring, signal);
      for (const content of strange) {
        const { digest } = content.descriptor;
        const servedBy = await search(content);
        await memory.learn(repository, [{ digest, servedBy }]);
      }
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
