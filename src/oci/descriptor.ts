import type { Digest } from './digest.ts';
import type { Platform } from './platform.ts';

/** What a manifest says of a blob, or an index of a manifest (OCI image spec, descriptor.md). `size` is in bytes. */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  readonly platform?: Platform;
  /** The content itself, where it stands in the descriptor and is what the digest says. */
  readonly data?: Uint8Array;
};
