import { ArtifactError } from '../util/error.ts';

/** What the cache lacks, or has for others alone, while `pullPolicy: Never` lets nobody be asked for it. */
export function toAbsence(what: string): ArtifactError {
  return new ArtifactError(
    'not-found',
    `${what} is not in this node's cache for this pod, and pullPolicy Never forbids to pull it; load it there first, or set IfNotPresent, with a credential that may read it`,
  );
}

/** The same, for who loads it. */
export function toLack(what: string): ArtifactError {
  return new ArtifactError(
    'not-found',
    `${what} is not in this node's cache, and must be in the layout that is loaded, or be pulled; write the layout again, with all of its blobs`,
  );
}
