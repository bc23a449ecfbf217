import type { Credential, Keyring } from '../oci/credential.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Endpoint } from '../oci/endpoint.ts';
import type { Reference } from '../oci/reference.ts';
import type { GrowingFile } from '../util/growing-file.ts';
import type { Allowance } from '../util/token-bucket.ts';
import type { Pod, PullRequest } from './request.ts';

/** Completes references by the node's configuration. */
export type Expander = {
  /**
   * Full references to try in order; a full reference gives one. @throws `invalid`; `denied` for a blocked registry.
   */
  expand(text: string): readonly Reference[];
};

/** Finds the credentials of callers. */
export type Keychain = {
  open(caller: Caller): Keyring;
  /** What each credential source has for an endpoint, in the order of lookup, one line each, without secrets. */
  explain(endpoint: Endpoint, caller: Caller, signal: AbortSignal): Promise<readonly string[]>;
};

/**
 * On whose behalf credentials are looked up. `secrets` are those of the call. `caller` decides how messages name them;
 * the default is a pod. `candidates`: what the reference of the call may stand for, if that decides who may see a
 * secret that names no host; default one.
 */
export type Caller = {
  readonly secrets: Readonly<Record<string, string>>;
  readonly caller?: PullRequest['caller'];
  readonly pod?: Pod;
  readonly candidates?: readonly Reference[];
};

/**
 * A client of the OCI distribution API. It retries transient failures: 429, 5xx, connection errors, interrupted blobs.
 * If a server asks for a longer wait, it throws `Paused`, at once and until the wait is over; the caller waits.
 *
 * @throws `not-found`, `unauthenticated`, `denied`, `unavailable`, `corrupt`, `cancelled`; `unmountable` for a manifest
 * above 4 MiB.
 */
export type Registry = {
  /**
   * Resolves a tag or digest, by HEAD if the registry answers it with a digest. Also answers the credential that was
   * used.
   */
  resolve(reference: Pinned, keyring: Keyring, signal: AbortSignal): Promise<Found>;
  /**
   * The bytes of a manifest or index, at most 4 MiB, verified against the descriptor, and which endpoint served them.
   */
  manifest(
    reference: Reference,
    descriptor: Descriptor,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: Uint8Array; readonly servedBy: ServedBy }>;
  /** Who confirms by HEAD that the repository has the content. Undefined only if the registry says that it has not. */
  has(
    reference: Reference,
    content: Content,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<ServedBy | undefined>;
  /**
   * The referrers of a manifest with an artifact type; undefined if the registry has no referrers API (OCI distribution
   * spec, "Listing Referrers").
   */
  referrers(
    reference: Reference,
    digest: Digest,
    artifactType: string,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<readonly Descriptor[] | undefined>;
  /**
   * Streams a blob into a sink from `sink.offset`, and returns when all `descriptor.size` bytes are in it. Verifies
   * bytes of mirrors by `sink.verify`; the caller verifies bytes of the registry. Answers which endpoint served it: the
   * registry if it served any part, else a mirror.
   */
  blob(
    reference: Reference,
    descriptor: Descriptor,
    sink: Sink,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<ServedBy>;
  /**
   * How long an endpoint of a repository may be silent before the first byte of a blob, in milliseconds; 0 if none has a
   * time of its own.
   */
  silenceMs(reference: Reference, signal: AbortSignal): Promise<number>;
  /**
   * Fetches a part of a blob into a sink, and verifies it there, at each endpoint in turn until one sends right bytes.
   * Answers which endpoint served it; undefined if the registry sends no ranges.
   */
  part(
    reference: Reference,
    part: BlobPart,
    sink: Sink,
    keyring: Keyring,
    signal: AbortSignal,
  ): Promise<ServedBy | undefined>;
  /**
   * Fetches small blobs of a repository together, as far as the registry simply sends them. Those that were not taken
   * are to be fetched one by one.
   *
   * @throws as `blob`, for the first of them; what `slot` and `take` throw.
   */
  blobs(reference: Reference, batch: BlobBatch, keyring: Keyring, signal: AbortSignal): Promise<void>;
};

/** The bytes `from` to `to` - 1 of a blob. */
export type BlobPart = { readonly descriptor: Descriptor; readonly from: number; readonly to: number };

export type BlobBatch = {
  readonly descriptors: readonly Descriptor[];
  /** Opens what receives a blob that is fetched as every other one. */
  open(descriptor: Descriptor): Sink & { readonly bytes: Uint8Array };
  /** Waits until one more connection may be used. It is returned after some blobs, and waited for again. */
  slot(signal: AbortSignal): Promise<Disposable>;
  /** Receives some that came. */
  take(blobs: readonly ArrivedBlob[]): Promise<void>;
};

/** The verified bytes of a blob, and which endpoint served it. */
export type ArrivedBlob = {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly servedBy: ServedBy;
};

/**
 * Which endpoint served content: the registry, or a mirror of it. A mirror may serve content to anybody, so it proves
 * no access. `isOpen`: it got no credential, so it serves that to anyone.
 */
export type ServedBy = Pick<Endpoint, 'mirrorOf'> & { readonly isOpen?: boolean };

/**
 * A reference to resolve. `pinned` is the digest that its tag resolved to before: the endpoints of the tag are asked
 * for that digest.
 */
export type Pinned = Reference & { readonly pinned?: Digest };

/** Content of a repository. */
export type Content = { readonly kind: 'manifest' | 'blob'; readonly descriptor: Descriptor };

/** A resolved reference. `servedBy` is the endpoint that answered. */
export type Found = {
  readonly servedBy: ServedBy;
  readonly descriptor: Descriptor;
  readonly credential: Credential;
};

/** The destination of a download. */
export type Sink = {
  /** Bytes written so far. */
  readonly offset: number;
  /** Takes the chunk before it returns; the caller reuses its memory. @throws if the disk is full. */
  write(chunk: Uint8Array): void;
  /** Discards everything written: the registry starts again at byte 0. */
  restart(): void;
  /**
   * Verifies size and digest. Can be called again; after a mismatch the sink is as after `restart`. The registry client
   * calls it for bytes of mirrors, so that it can try another endpoint. Without it, the client hashes bytes of mirrors
   * itself.
   *
   * @throws `corrupt`, saying whether the size or the digest differs.
   */
  verify?(): Promise<void>;
  /** A file that the client may write in another thread instead of calling `write`. */
  readonly file?: GrowingFile;
  /** Bounds the rate at which the client may receive the bytes. */
  readonly allowance?: Allowance | undefined;
  /** Somebody waits for the bytes who gives up soon: the registry is not withheld. */
  readonly isAwaited?: boolean;
};
