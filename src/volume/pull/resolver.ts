import type { Keyring } from '../../oci/credential.ts';
import type { Digest } from '../../oci/digest.ts';
import { formatReference, parseReference, type Reference } from '../../oci/reference.ts';
import type { Names } from '../../ports/records.ts';
import type { Expander, Registry } from '../../ports/registry.ts';
import type { PullPolicy, PullRequest } from '../../ports/request.ts';
import type { Resolution } from '../../ports/resolution.ts';
import type { Blobs } from '../../ports/store.ts';
import type { AccessPolicy } from '../../ports/trust.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';
import { toNotCached } from '../access/access-check.ts';
import type { TagSpread } from './tag-spread.ts';

/** kubelet's default for images: Always for `:latest` or no tag, else IfNotPresent; a digest never changes. */
export function defaultPullPolicy(text: string): PullPolicy {
  const parsed = parseReference(text);
  const { tag, digest } = parsed.kind === 'full' ? parsed.reference : parsed;
  return digest === undefined && (tag === undefined || tag === 'latest') ? 'Always' : 'IfNotPresent';
}

export type Resolver = {
  /**
   * Resolves a reference by the pull policy: from the cache, or from the first registry that has it. The candidates of
   * a short name end at the first one that the access policy refuses: it is not asked for, and no later one replaces
   * it.
   *
   * @throws ArtifactError `not-found`, also under Never for what is not cached; `denied` by the access policy; errors
   * of the registries.
   */
  resolve(
    wanted: ResolveRequest,
    policy: PullPolicy,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<Resolution>;
  /** Resolves a reference by its registries only. @throws as `resolve`. */
  ask(wanted: ResolveRequest, keyring: Keyring, signal: AbortSignal): Promise<Resolution>;
};

export type ResolveRequest = Pick<
  PullRequest,
  'reference' | 'pinned' | 'caller' | 'pod' | 'podUnknown' | 'namespace'
>;

/** The candidates before the first refused one, and its refusal. */
type Evaluation = { readonly candidates: readonly Reference[]; readonly refusal?: ArtifactError };

export function createResolver(world: {
  readonly expander: Expander;
  readonly accessPolicy: AccessPolicy;
  readonly registry: Pick<Registry, 'resolve'>;
  readonly names: Pick<Names, 'find'>;
  readonly blobs: Pick<Blobs, 'size'>;
  /** Undefined: no pod waits before its tag is asked for. */
  readonly spread?: TagSpread | undefined;
}): Resolver {
  const { expander, accessPolicy, registry, names, blobs } = world;

  const evaluate = async (wanted: ResolveRequest, signal: AbortSignal): Promise<Evaluation> => {
    const candidates: Reference[] = [];
    for (const reference of expander.expand(wanted.reference)) {
      try {
        await accessPolicy.verify(reference, wanted, signal);
      } catch (thrown) {
        signal.throwIfAborted();
        return { candidates, refusal: toArtifactError(thrown) };
      }
      candidates.push(reference);
    }
    return { candidates };
  };

  const fromCache = async (
    reference: Reference,
    digest: Digest | undefined,
  ): Promise<Resolution | undefined> => {
    if (digest !== undefined) {
      const size = await blobs.size(digest);
      // The document determines its media type.
      return size === undefined
        ? undefined
        : { reference, descriptor: { mediaType: '', digest, size, annotations: {} } };
    }
    const record = await names.find(formatReference(reference));
    if (record === undefined) return undefined;
    const held = (await blobs.size(record.descriptor.digest)) === record.descriptor.size;
    return held ? { reference, descriptor: record.descriptor } : undefined;
  };

  const fromRegistry = async (
    reference: Reference,
    pinned: Digest | undefined,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<Resolution> => {
    const asked = pinned === undefined ? reference : { ...reference, pinned };
    return { reference, ...(await registry.resolve(asked, keyring, signal)) };
  };

  const fromRegistries = async (
    wanted: ResolveRequest,
    { candidates, refusal }: Evaluation,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<Resolution> => {
    if (refusal !== undefined && candidates.length === 0) throw refusal;
    const failures: ArtifactError[] = [];
    for (const reference of candidates) {
      try {
        return await fromRegistry(reference, wanted.pinned, keyring, signal);
      } catch (thrown) {
        signal.throwIfAborted();
        failures.push(toArtifactError(thrown));
      }
    }
    if (refusal !== undefined) failures.push(refusal);
    throw summarise(wanted.reference, failures);
  };

  return {
    async resolve(wanted, policy, keyring, signal) {
      const evaluation = await evaluate(wanted, signal);
      const { candidates, refusal } = evaluation;
      // The digest of a mounted volume was not written by the user, so the rules for the tag still apply.
      const digestOf = (reference: Reference): Digest | undefined => wanted.pinned ?? reference.digest;
      for (const reference of candidates) {
        const digest = digestOf(reference);
        // A digest cannot resolve to anything else, so Always need not ask again.
        if (policy === 'Always' && digest === undefined) continue;
        const cached = await fromCache(reference, digest);
        if (cached !== undefined) return cached;
      }
      if (policy === 'Never') throw refusal ?? toNotCached(wanted.reference);
      const [first] = candidates;
      const isTag = first !== undefined && digestOf(first) === undefined;
      if (isTag && policy === 'Always' && wanted.caller === 'pod')
        await world.spread?.(formatReference(first), signal);
      return await fromRegistries(wanted, evaluation, keyring, signal);
    },
    ask: async (wanted, keyring, signal) =>
      await fromRegistries(wanted, await evaluate(wanted, signal), keyring, signal),
  };
}

/** Returns a single failure unchanged, and combines several under the code that is most worth a retry. */
function summarise(text: string, failures: readonly ArtifactError[]): ArtifactError {
  const [first] = failures;
  if (first !== undefined && failures.length === 1) {
    if (first.code !== 'not-found') return first;
    const short =
      parseReference(text).kind === 'short' ? `the short name ${text} stands for what is not there: ` : '';
    const advice = 'check registry, repository and tag, and that it was pushed';
    return new ArtifactError('not-found', `${short}${first.message}; ${advice}`, first);
  }
  const hope = ['unavailable', 'corrupt', 'unauthenticated', 'denied', 'internal', 'not-found'] as const;
  const code = hope.find(candidate => failures.some(failure => failure.code === candidate)) ?? 'not-found';
  const reasons = failures.map(failure => failure.message).join('; ');
  const cause = failures.find(failure => failure.code === code);
  return new ArtifactError(
    code,
    `none of the registries that the short name ${text} stands for has it: ${reasons}`,
    cause,
  );
}
