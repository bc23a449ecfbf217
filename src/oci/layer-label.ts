import { ArtifactError } from '../util/error.ts';
import { algorithmOf, type Digest, hexOf, isDigest } from './digest.ts';

/** Shortens a digest for a label. */
export function shortDigest(digest: Digest): string {
  return `${digest.slice(0, 7)}${hexOf(digest).slice(0, 12)}`;
}

/**
 * Parses a diff_id. Only sha256 is computed while a layer is unpacked.
 *
 * @throws ArtifactError `unmountable` for an invalid digest, and for another algorithm.
 */
export function verifyDiffId(text: string, label: string): Digest {
  if (!isDigest(text)) {
    const shown = JSON.stringify(text).slice(0, 120);
    throw new ArtifactError('unmountable', `${label} has the diff_id ${shown}, which is no digest`);
  }
  if (algorithmOf(text) === 'sha256') return text;
  throw new ArtifactError(
    'unmountable',
    `${label} has the ${algorithmOf(text)} of its uncompressed bytes, and only their sha256 is checked; push it again with that`,
  );
}
