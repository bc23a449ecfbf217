import { ArtifactError } from '../util/error.ts';
import { openTenants } from '../util/tenants.ts';
import type { Documents } from './manifests.ts';
import { tenantOf } from './request.ts';

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

/** Documents of the cache alone. */
export function notHere(reference: string): Documents {
  return {
    place: '',
    tenants: openTenants(tenantOf({ caller: 'administrator' })),
    async fetch(_, { digest }) {
      throw new ArtifactError(
        'not-found',
        `the cache no longer holds ${digest} of ${reference}; pull it again`,
      );
    },
    hold: async () => undefined,
    learn: async () => undefined,
    confirm: async () => undefined,
  };
}
