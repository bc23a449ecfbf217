import { hash } from 'node:crypto';
import type { Descriptor } from './descriptor.ts';
import { algorithmOf, hexOf, type Digest } from './digest.ts';

/**
 * The content that a descriptor carries in its field `data` (OCI image spec, descriptor.md, "Embedded Content"). It is a
 * copy of what the registry has, so one that is not what digest and size say is passed over, and the registry is asked.
 * A manifest of 4 MiB bounds the size.
 */
export function parseData(
  text: string | undefined,
  { digest, size }: { readonly digest: Digest; readonly size: number },
): Uint8Array | undefined {
  if (text === undefined || text.length !== 4 * Math.ceil(size / 3)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  const isWhole = bytes.length === size && hash(algorithmOf(digest), bytes) === hexOf(digest);
  return isWhole ? bytes : undefined;
}

/** A descriptor to be written down. */
export function withoutData({ data: _, ...descriptor }: Descriptor): Descriptor {
  return descriptor;
}
