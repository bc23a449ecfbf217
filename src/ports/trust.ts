import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { PullRequest } from './request.ts';

/** The administrator's policy: which pods may have which artifacts. */
export type AccessPolicy = {
  /**
   * Evaluates a full reference before any endpoint is asked for it, by the current content of the file. An
   * administrator may have everything; a prefetch of a namespace counts as a pod of it.
   *
   * @throws `denied` naming file and rule; `denied` if the file cannot be used or the pod is unknown; errors of reading
   * the namespace's labels, naming the rule that needs them; the signal's reason.
   */
  verify(
    reference: Reference,
    request: Pick<PullRequest, 'caller' | 'pod' | 'podUnknown' | 'namespace'>,
    signal: AbortSignal,
  ): Promise<void>;
};

/**
 * Whether a policy accepts an artifact. `isSigned`: because of signatures, which it demands. `why` names the file and the
 * field to change.
 */
export type Verdict =
  | { readonly kind: 'accepted'; readonly by: string; readonly isSigned?: boolean }
  | { readonly kind: 'refused'; readonly why: string };

/** Verifies that artifacts are signed as the node's policy requires. */
export type Trust = {
  /**
   * Evaluates what a full reference resolved to: the digest of its manifest or index. An accepted verdict is kept until
   * the policy changes, and then costs no request. A refusal is evaluated again each time.
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
 * The repository of an artifact as a source of signatures: its registry, or the cache. Bytes are verified against their
 * descriptor, and at most 4 MiB. Its errors pass through to the caller of `verify`, except `not-found` of `manifest`
 * and `blob`, which means that there is no such signature.
 */
export type SignatureSource = {
  /** The manifest or index of a tag; undefined if the tag does not exist. */
  tag(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly descriptor: Descriptor } | undefined>;
  /**
   * The referrers of a manifest with an artifact type (OCI distribution spec, "Listing Referrers"). Undefined if the
   * registry has no referrers API; the referrers tag is asked for then.
   */
  referrers(
    digest: Digest,
    artifactType: string,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined>;
  manifest(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  blob(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
};
