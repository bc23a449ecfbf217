import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/reference.ts';

/** Which names of the cache others may see: those of public content, and those that globs of references match. */
export type ShareRule = { readonly isPublic: boolean; readonly globs: readonly string[] };

/** A name that others may see. `since`: when it was resolved, in milliseconds since 1970. */
export type SharedImage = {
  /** The full reference. */
  readonly reference: string;
  readonly target: Omit<Descriptor, 'data'>;
  readonly since: number;
};

/** A blob that shared images reach: complete, verified and durable. `repositories`: those of these images. */
export type SharedContent = {
  readonly digest: Digest;
  readonly size: number;
  readonly since: number;
  readonly path: string;
  readonly repositories: readonly Repository[];
};

/** What others may see has changed. `at`: milliseconds since 1970. */
export type SharedEvent = { readonly at: number } & (
  | { readonly topic: '/images/create' | '/images/update' | '/images/delete'; readonly reference: string }
  | { readonly topic: '/content/create' | '/content/delete'; readonly digest: Digest; readonly size: number }
);

/** The part of the cache that others may read. What they may not see does not exist for them. */
export type Sharing = {
  images(signal: AbortSignal): Promise<readonly SharedImage[]>;
  image(reference: string): Promise<SharedImage | undefined>;
  contents(signal: AbortSignal): AsyncIterable<SharedContent>;
  content(digest: Digest, signal: AbortSignal): Promise<SharedContent | undefined>;
  /** Reports changes from now on. A change that comes while this is called may be reported although it was seen. */
  follow(onEvent: (event: SharedEvent) => void): Disposable;
};
