import { formatRepository, parseReference } from '../../oci/reference.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';

/**
 * An error with the reference that it is about before it, unless its message names the repository itself: a layer, a
 * host and a disk do not know for whom they failed.
 */
export function about(reference: string, thrown: unknown): ArtifactError {
  const error = toArtifactError(thrown);
  const parsed = parseReference(reference);
  const name = parsed.kind === 'full' ? formatRepository(parsed.reference) : parsed.name;
  if (error.code === 'cancelled' || error.message.includes(name)) return error;
  return new ArtifactError(error.code, `${reference}: ${error.message}`, error);
}
