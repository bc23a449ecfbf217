import { type Keyring, tokensKey } from '../../oci/credential.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/reference.ts';
import { toArtifactError } from '../../util/error.ts';
import type { AccessCache, Asker, Provenance } from './access-cache.ts';
import type { Content, Found, Giver, Registry } from '../../ports/registry.ts';
import { createHashingSink } from '../sinks/hashing-sink.ts';
import type { PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';

/**
 * May this caller have what the cache holds? That bytes are on the node is no right to them: access to a repository,
 * and what is in it, is for its registry to say, and remembered where it has said so. Who is refused hears what the
 * registry says, as if nothing were cached: that a node holds something is nothing for others to know.
 */
export type AccessCheck = {
  /**
   * Notes the access of a caller whom the registry has just answered; asks it for one who was served from the cache and
   * is not remembered.
   *
   * @throws ArtifactError as the registry answers, about the digest.
   */
  admit(resolution: Resolution, request: PullRequest, keyring: Keyring, signal: AbortSignal): Promise<void>;
  /** An administrator has put this on the node by hand: every pod of it may have it. */
  vouch(repository: Repository, digests: readonly Digest[]): Promise<void>;
  /** Forgets what was said of what is not held any more. */
  sweep(isHeld: (digest: Digest) => Promise<boolean>): Promise<void>;
  /** Whether this is known to be in the repository, with nobody asked. */
  knows(repository: Repository, digest: Digest): boolean;
  /** Notes what was downloaded through a repository, and who gave it, until the process ends. */
  note(repository: Repository, gifts: readonly Provenance[]): void;
  /** Writes what was noted for a repository. */
  save(repository: Repository): Promise<void>;
  /** Both. */
  learn(repository: Repository, gifts: readonly Provenance[]): Promise<void>;
  /**
   * Makes sure that all of it is in the repository: remembered, or confirmed by its registry, or, where the bytes came
   * from another registry, downloaded from this one, hashed and dropped. A manifest can list anybody's layers; what it
   * carries itself needs no word.
   *
   * @throws ArtifactError as the registry answers to who asks it for that content.
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
  vouch: async () => undefined,
  knows: () => true,
  note: () => {},
  save: async () => undefined,
  learn: async () => undefined,
  sweep: async () => undefined,
  confirm: async () => undefined,
};

export function createAccessCheck(memory: AccessCache, registry: Registry): AccessCheck {
  /** What a mirror shows is no word of the registry, to be remembered for anybody: it holds for this once. */
  const remember = async (
    repository: Repository,
    { credential, place }: Pick<Found, 'credential' | 'place'>,
    asker: Asker,
  ): Promise<void> => {
    if (place.mirrorOf === undefined) await memory.admit(repository, credential.holder, asker);
  };

  const ask = async (resolution: Resolution, request: PullRequest, keyring: Keyring, signal: AbortSignal) => {
    const { reference, descriptor } = resolution;
    const pinned = { ...reference, pinned: descriptor.digest };
    await remember(reference, await registry.resolve(pinned, keyring, signal), toAsker(request));
  };

  /**
   * Finds who shows that it is in the repository. A registry that is away is asked once. Where it is not there, the
   * content itself is asked for, so that what is thrown does not depend on what is cached.
   */
  const openSearch = (repository: Repository, keyring: Keyring, signal: AbortSignal) => {
    let isAway = false;
    return async (content: Content): Promise<Giver> => {
      const { kind, descriptor } = content;
      if (!isAway && memory.isNear(repository, descriptor.digest)) {
        const answer = await registry.has(repository, content, keyring, signal).catch((thrown: unknown) => {
          if (toArtifactError(thrown).code === 'unavailable') return undefined; // a mirror may still send it
          throw thrown;
        });
        if (answer === true) return {};
        isAway = answer === undefined;
      }
      if (kind === 'manifest')
        return (await registry.manifest(repository, descriptor, keyring, signal)).place;
      const sink = createHashingSink(descriptor);
      const giver = await registry.blob(repository, descriptor, sink, keyring, signal);
      sink.verified();
      return giver;
    };
  };

  return {
    async admit(resolution, request, keyring, signal) {
      const asker = toAsker(request);
      const { reference, credential, place } = resolution;
      if (credential !== undefined && place !== undefined)
        return remember(reference, { credential, place }, asker);
      if (request.caller === 'administrator' || memory.admits(reference, asker)) return;
      await ask(resolution, request, keyring, signal);
    },
    async vouch(repository, digests) {
      await memory.admit(repository, { kind: 'node' }, {});
      const giver = {};
      await memory.learn(
        repository,
        digests.map(digest => ({ digest, giver })),
      );
    },
    knows: memory.knows,
    note: memory.note,
    save: memory.save,
    learn: memory.learn,
    sweep: memory.sweep,
    async confirm(repository, contents, keyring, signal) {
      const strange = contents.filter(
        ({ descriptor }) => descriptor.data === undefined && !memory.knows(repository, descriptor.digest),
      );
      const search = openSearch(repository, keyring, signal);
      for (const content of strange) {
        const { digest } = content.descriptor;
        const giver = await search(content);
        await memory.learn(repository, [{ digest, giver }]);
      }
    },
  };
}

function toAsker({ secrets, pod }: PullRequest): Asker {
  // Tokens are another text at each call.
  const keys = Object.keys(secrets)
    .filter(key => key !== tokensKey)
    .sort();
  return {
    ...(pod === undefined ? {} : { pod }),
    ...(keys.length === 0 ? {} : { brought: JSON.stringify(keys.map(key => [key, secrets[key]])) }),
  };
}
