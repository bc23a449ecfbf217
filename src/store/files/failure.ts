import { ArtifactError, toArtifactError } from '../../util/error.ts';

/**
 * Runs one step on the disk and classifies what it throws where it enters: a full disk is `exhausted`, all else of the
 * file system `internal`. `doing` says in the message what was tried ("storing blob sha256:…").
 */
export async function attempt<T>(doing: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    throw toStoreError(doing, thrown);
  }
}

/** What people can do about a damaged layer: a removal of the artifact leaves what others share. */
export const howToMend = 'run `fsck --repair` on the node, then mount it again';

/** The same for a step that has failed already. */
export function toStoreError(doing: string, thrown: unknown): ArtifactError {
  if (thrown instanceof ArtifactError) return thrown;
  const { code, message } = toArtifactError(thrown);
  return new ArtifactError(code, `${doing}: ${message}`, thrown);
}
