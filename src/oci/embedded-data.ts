import { hash } from 'node:crypto';
import type { Descriptor } from './descriptor.ts';
import { algorithmOf, type Digest, hexOf } from './digest.ts';

/**
 * Decodes the content in a descriptor's field `data` (OCI image spec, descriptor.md, "Embedded Content"). It is a copy
 * of the registry's content, so one that does not match digest and size is ignored, and the registry is asked. The 4
 * MiB of a manifest limit its size.
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

/** Converts a descriptor to its stored form. */
export function withoutData({ data: _, ...descriptor }: Descriptor): Descriptor {
  return descriptor;
}
