import { formatRepository, parseReference } from '../../oci/reference.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';

/**
 * Prefixes an error with its reference, unless its message names the repository. Layers, hosts and disks do not know
 * which pull they failed for.
 */
export function about(reference: string, thrown: unknown): ArtifactError {
  const error = toArtifactError(thrown);
  const parsed = parseReference(reference);
  const name = parsed.kind === 'full' ? formatRepository(parsed.reference) : parsed.name;
  if (error.code === 'cancelled' || error.message.includes(name)) return error;
  return new ArtifactError(error.code, `${reference}: ${error.message}`, error);
}
