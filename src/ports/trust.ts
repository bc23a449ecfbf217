import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { PullRequest } from './request.ts';

/** The word of the node's administrator on which pods may have which artifacts. */
export type AccessPolicy = {
  /**
   * Judges one full reference before anybody is asked for it.
   *
   * @throws `denied` naming the rule; `unavailable` where what the rule asks for cannot be read; the signal's reason.
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

/** Judges by the node's policy what a full reference resolved to. @throws what `signatures` throws. */
export type Trust = {
  verify(
    reference: Reference,
    digest: Digest,
    signatures: SignatureSource,
    signal: AbortSignal,
  ): Promise<Verdict>;
};

/** A repository, as far as signatures need it. Bytes are verified, and 4 MiB at most. */
export type SignatureSource = {
  /** A tag's manifest or index; undefined if there is no such tag. */
  tag(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly descriptor: Descriptor } | undefined>;
  referrers(
    digest: Digest,
    artifactType: string,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined>;
  manifest(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
  blob(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array>;
};
