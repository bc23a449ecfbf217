import { ArtifactError, toArtifactError } from '../../util/error.ts';

/**
 * Runs one step on the disk and classifies its errors: a full disk is `exhausted`, other errors of the filesystem are
 * `internal`. `doing` says in the message what failed ("storing blob sha256:…").
 */
export async function attempt<T>(doing: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (thrown) {
    throw toStoreError(doing, thrown);
  }
}

/** The advice for a damaged layer: removing the artifact keeps what others share. */
export const howToMend = 'run `fsck --repair` on the node, then mount it again';

/** Classifies the error of a step that has already failed. */
export function toStoreError(doing: string, thrown: unknown): ArtifactError {
  if (thrown instanceof ArtifactError) return thrown;
  const { code, message } = toArtifactError(thrown);
  return new ArtifactError(code, `${doing}: ${message}`, thrown);
}
