import type { Credential, Keyring } from '../oci/credential.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Reference } from '../oci/reference.ts';
import type { GrowingFile } from '../util/growing-file.ts';
import type { Pod, PullRequest } from './request.ts';

/** Completes what users write from the node's configuration. */
export type Expander = {
  /** Full references to try in order; one for a full reference. @throws `invalid`, or `denied` for a blocked registry. */
  expand(text: string): readonly Reference[];
};

/** Knows what callers have to show to registries. */
export type Keychain = {
  open(caller: Caller): Keyring;
  /** Each source in its order and what it has for a place, in a line each, without a secret. */
  explain(place: Endpoint, caller: Caller, signal: AbortSignal): Promise<readonly string[]>;
};

/** Whom a call is for, as far as credentials go; `secrets` are those of the call. `caller` says how they are named to people: a pod's unless told. */
export type Caller = {
  readonly secrets: Readonly<Record<string, string>>;
  readonly caller?: PullRequest['caller'];
  readonly pod?: Pod;
};

/**
 * A client of the OCI distribution API. Retries by itself what may pass (429, 5xx, connections, cuts in mid-blob).
 * Where a server asks for a longer wait it throws Paused, at once and again until then: the caller waits.
 * @throws `not-found`, `unauthenticated`, `denied`, `unavailable`, `corrupt`, `cancelled`; `unmountable` for a manifest
 *   above 4 MiB.
 */
export type Registry = {
  /** What a tag or digest names, by HEAD where the registry answers it with a digest; and what it was shown for that. */
  resolve(reference: Pinned, keyring: Keyring, signal: AbortSignal): Promise<Found>;
  /** A manifest's or index's bytes, verified against the descriptor; 4 MiB at most. And who gave it. */
  manifest(
    reference: Reference,
    descriptor: Descriptor,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly place: Giver }>;
  /** Whether the repository has it, by HEAD; false only where the registry says so. */
  has(reference: Reference, content: Content, keyring: Keyring, signal: AbortSignal): Promise<boolean>;
  /** What refers to a manifest and is of that type; undefined if the registry keeps no such list (OCI distribution spec, "Listing Referrers"). */
  referrers(
    reference: Reference,
    digest: Digest,
    artifactType: string,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined>;
  /** Streams a blob into a sink from `sink.offset` on, and returns when all of `descriptor.size` bytes are in it. Of bytes that mirrors sent it asks the sink whether they are right; those of the registry itself are the caller's to verify. Answers who gave it: the registry itself if it gave any of it, else a mirror. */
  blob(
    reference: Reference,
    descriptor: Descriptor,
    sink: Sink,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<Giver>;
};

/** The registry itself, or a mirror of it, which may give what it has to anybody. */
export type Giver = Pick<Endpoint, 'mirrorOf'>;

/** `pinned` is what a tag was resolved to before: that digest is asked for, at the places that the tag has. */
export type Pinned = Reference & { readonly pinned?: Digest };

/** What a repository is asked about. */
export type Content = { readonly kind: 'manifest' | 'blob'; readonly descriptor: Descriptor };

/** `place` is where it was asked. */
export type Found = {
  readonly place: Giver;
  readonly descriptor: Descriptor;
  readonly credential: Credential;
};

/** Where the bytes of a download go. */
export type Sink = {
  /** Bytes taken so far. */
  readonly offset: number;
  /** Takes the chunk before it returns; the caller uses its memory again at once. @throws when the disk is full. */
  write(chunk: Uint8Array): void;
  /** Forgets everything taken: the registry starts again at byte 0. */
  restart(): void;
  /**
   * Checks size and digest; it may be asked again. On a mismatch it is as after `restart`. The registry's client asks
   * where mirrors filled it, so that another place can be asked; without it, the client hashes what mirrors send.
   *
   * @throws `corrupt` saying which.
   */
  verify?(): Promise<void>;
  /** Where the client may write, in another thread, what it does not hand to `write`. */
  readonly file?: GrowingFile;
};
