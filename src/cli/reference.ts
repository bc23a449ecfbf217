import { isDigestStart, isStartOf } from '../oci/digest.ts';
import { formatRepository, parseReference } from '../oci/reference.ts';
import type { Backend } from '../ports/backend.ts';
import { ArtifactError, toArtifactError } from '../util/error.ts';

/** A reference with the digest that it was resolved to, once. */
export function toDigested({
  reference,
  digest,
}: {
  readonly reference: string;
  readonly digest: string;
}): string {
  return reference.endsWith(`@${digest}`) ? reference : `${reference}@${digest}`;
}

/**
 * Completes the operand of a command: a cached digest, or a prefix of one, becomes a reference with that digest; other
 * text is unchanged.
 *
 * @throws ArtifactError `not-found` for a digest that is not cached; `invalid` for the prefix of several.
 */
export async function toReference(text: string, { artifacts }: Pick<Backend, 'artifacts'>): Promise<string> {
  if (!isDigestStart(text)) return text;
  try {
    const { reference, digest, manifest } = await artifacts.inspect(text);
    const meant = [digest, manifest].find(known => isStartOf(text, known));
    // Hex digits are a short name if no cached digest begins with them.
    return meant === undefined ? text : `${repositoryOf(reference)}@${meant}`;
  } catch (thrown) {
    const isShortName = !text.startsWith('sha') && toArtifactError(thrown).code === 'not-found';
    if (isShortName) return text;
    throw thrown;
  }
}

function repositoryOf(text: string): string {
  const parsed = parseReference(text);
  if (parsed.kind === 'full') return formatRepository(parsed.reference);
  throw new ArtifactError('internal', `${text} is the name of an artifact of the cache, and has no registry`);
}
