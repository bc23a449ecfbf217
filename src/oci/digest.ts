import { invalidValue } from '../util/error.ts';

declare const brand: unique symbol;

/**
 * `<algorithm>:<lower-case hex>` with a supported algorithm and hex of its length (OCI image spec, descriptor.md,
 * "Digests").
 */
export type Digest = string & { readonly [brand]: 'digest' };

/** The registered algorithms that registries use; both are in node:crypto under the same name. */
export type Algorithm = 'sha256' | 'sha512';

const shape = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** Whether a text is a digest that this driver can verify. */
export function isDigest(text: string): text is Digest {
  return shape.test(text);
}

/**
 * Whether a text may identify a digest: all of it, a prefix with the algorithm and at least four hex digits, or at
 * least twelve hex digits. The last may also be a short name.
 */
export function isDigestStart(text: string): boolean {
  return /^(?:sha256:[0-9a-f]{4,64}|sha512:[0-9a-f]{4,128}|[0-9a-f]{12,128})$/.test(text);
}

/** Whether a text is fewer hex digits than `isDigestStart` takes. It is the name of an artifact first. */
export function isFewDigits(text: string): boolean {
  return /^[0-9a-f]{4,11}$/.test(text);
}

/** Whether such a text identifies this digest. */
export function isStartOf(text: string, digest: Digest): boolean {
  return digest.startsWith(text) || hexOf(digest).startsWith(text);
}

/** @throws ArtifactError `invalid` for anything but sha256 or sha512 in lower-case hex of the right length. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw invalidValue('digest', text, 'must be sha256:<64 hex> or sha512:<128 hex>');
}

export function toDigest(algorithm: Algorithm, hex: string): Digest {
  return parseDigest(`${algorithm}:${hex}`);
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

export function hexOf(digest: Digest): string {
  return digest.slice(7);
}

/** Shortens a digest for a label. */
export function shortDigest(digest: Digest): string {
  return `${digest.slice(0, 7)}${hexOf(digest).slice(0, 12)}`;
}
