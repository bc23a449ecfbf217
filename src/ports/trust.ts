import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { PullRequest } from './request.ts';

/** The word of the node's administrator on which pods may have which artifacts. */
export type AccessPolicy = {
  /**
   * Judges one full reference, by the file as it is now, before anybody is asked for it. An administrator may have
   * everything.
   *
   * @throws `denied` naming file and rule; or that the file cannot be used, or that nobody knows the pod; what reading
   *   the namespace's labels throws, naming the rule that asks for them; the signal's reason.
   */
  verify(
    reference: Reference,
    request: Pick<PullRequest, 'caller' | 'pod'>,
    signal: AbortSignal,
  ): Promise<void>;
};

/** Whether a policy lets an artifact be mounted; `why` names the file and field to change. */
export type Verdict =
  | { readonly kind: 'accepted'; readonly by: string }
  | { readonly kind: 'refused'; readonly why: string };

/** Judges whether artifacts are signed as the node's administrator wants. */
export type Trust = {
  /**
   * Judges what a full reference resolved to: the digest of its manifest, or of its index. An accepted verdict is kept
   * until the policy changes, and costs no request then; a refused one is judged anew.
   *
   * @throws what `signatures` throws: an outage is neither an acceptance nor a refusal.
   */
  verify(
    reference: Reference,
    digest: Digest,
    signatures: SignatureSource,
    signal: AbortSignal,
  ): Promise<Verdict>;
};

/**
 * The repository of an artifact, as far as signatures need it: from its registry, or from what the cache keeps. Bytes
 * are those of their descriptor, verified, and 4 MiB at most. What it throws goes to the caller of `verify` as it is,
 * but for `not-found` of `manifest` and `blob`: that is no signature then.
 */
export type SignatureSource = {
  /** A tag's manifest or index; undefined if there is no such tag. */
  tag(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly descriptor: Descriptor } | undefined>;
  /** What refers to a manifest and is of that type (OCI distribution spec, "Listing Referrers"); undefined if the registry has no such list: then its tag is asked for. */
  referrers(
    digest: Digest,
    artifactType: string,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined>;
  manifest(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  blob(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
};
