import type { Digest } from './digest.ts';
import type { Platform } from './platform.ts';

/**
 * A descriptor of a blob in a manifest, or of a manifest in an index (OCI image spec, descriptor.md). `size` is in
 * bytes.
 */
export type Descriptor = {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly artifactType?: string;
  readonly platform?: Platform;
  /** The content itself, if the descriptor embeds it and it matches the digest. */
  readonly data?: Uint8Array;
};
