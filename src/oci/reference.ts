import type { Digest } from './digest.ts';

/** A repository of a registry: `registry` is host[:port] as users write it (`docker.io`), `path` the name below it. */
export type Repository = { readonly registry: string; readonly path: string };

/** A full reference. Without a tag and a digest it was given `latest` when parsed; with both, the digest decides. */
export type Reference = Repository & { readonly tag?: string; readonly digest?: Digest };

/** What a user wrote: a full reference, or a short name that the node's configuration completes. */
export type ParsedReference =
  | { readonly kind: 'full'; readonly reference: Reference }
  | { readonly kind: 'short'; readonly name: string; readonly tag?: string; readonly digest?: Digest };
