import type { Keyring } from '../../oci/credential.ts';
import type { Registry } from '../../ports/registry.ts';
import type { PullPolicy, PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import type { Views } from '../../ports/store.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { type AccessCheck, type Scope, toNotCached } from '../access/access-check.ts';
import { type AdmittedContent, boundToWord, openAdmittedContent } from '../access/admitted-content.ts';
import type { SignatureCheck } from '../access/signature-check.ts';
import type { Resolver } from './resolver.ts';

/**
 * Resolves a request and decides whether its caller may have the result. A pod that may not have what is cached gets
 * the registries' answer, as for an artifact that is not cached.
 */
export type Admission = (
  request: PullRequest,
  policy: PullPolicy,
  keyring: Keyring,
  signal: AbortSignal,
) => Promise<AdmittedContent>;

export function createAdmission(world: {
  readonly resolver: Resolver;
  readonly access: AccessCheck;
  readonly registry: Registry;
  readonly signatures: Pick<SignatureCheck, 'verify'>;
  readonly views: Pick<Views, 'find'>;
}): Admission {
  const { resolver, access } = world;

  const resolve = async (
    request: PullRequest,
    policy: PullPolicy,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<{ readonly resolution: Resolution; readonly scope: Scope }> => {
    const resolution = await resolver.resolve(request, policy, keyring, signal);
    try {
      const bound = policy === 'Never' ? boundToWord(signal) : signal;
      return { resolution, scope: await access.admit(resolution, request, keyring, bound) };
    } catch (thrown) {
      signal.throwIfAborted();
      if (policy === 'Never') throw toNotCached(request.reference);
      if (toArtifactError(thrown).code === 'unavailable') throw conceal(thrown, resolution);
    }
    const answer = await resolver.ask(request, keyring, signal);
    return { resolution: answer, scope: await access.admit(answer, request, keyring, signal) };
  };

  return async (request, policy, keyring, signal) => {
    const { resolution, scope } = await resolve(request, policy, keyring, signal);
    return openAdmittedContent(world, resolution, request, keyring, policy === 'Never', scope);
  };
}

/** Names the tag of the request instead of the digest that it has in the cache. */
function conceal(thrown: unknown, { reference, descriptor: { digest } }: Resolution): ArtifactError {
  const { code, message } = toArtifactError(thrown);
  if (reference.digest !== undefined) return new ArtifactError(code, message, thrown);
  const tag = reference.tag ?? 'latest';
  return new ArtifactError(code, message.replaceAll(`@${digest}`, `:${tag}`).replaceAll(digest, tag), thrown);
}
