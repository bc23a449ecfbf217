import { formatReference, formatRepository, parseReference } from '../../oci/reference.ts';
import { ArtifactError, toArtifactError } from '../../util/error.ts';

/**
 * Prefixes an error with its reference, unless its message names the reference, or the repository. Layers, hosts and
 * disks do not know which pull they failed for. Content of the repository, `repository@digest`, is not what the caller
 * asked for: after the reference its digest is enough.
 */
export function about(reference: string, thrown: unknown): ArtifactError {
  const error = toArtifactError(thrown);
  const parsed = parseReference(reference);
  const isFull = parsed.kind === 'full';
  const name = isFull ? formatRepository(parsed.reference) : parsed.name;
  const asked = isFull ? formatReference(parsed.reference) : reference;
  if (error.code === 'cancelled' || error.message.includes(asked)) return error;
  const message = error.message.replace(
    new RegExp(String.raw`(?:[\w.:[\]/-]+/)?${RegExp.escape(name)}@`, 'g'),
    '',
  );
  return message.includes(name) ? error : new ArtifactError(error.code, `${reference}: ${message}`, error);
}
