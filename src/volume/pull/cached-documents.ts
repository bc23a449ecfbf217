import { ArtifactError } from '../../util/error.ts';
import { openTenants } from '../../util/tenants.ts';
import { admitted } from '../access/admitted-content.ts';
import type { Documents } from './manifest-loader.ts';
import { tenantOf } from './wanter.ts';

/** Documents of the cache alone, for administrators. @throws `not-found` for what is not there. */
export function cachedDocuments(reference: string): Documents {
  return {
    tenants: openTenants(tenantOf({ caller: 'administrator' })),
    hold: async () => undefined,
    content: {
      place: '',
      admit: async content => admitted(content),
      async fetchDocument({ descriptor: { digest } }) {
        throw new ArtifactError(
          'not-found',
          `the cache no longer holds ${digest} of ${reference}; pull it again`,
        );
      },
      note: () => undefined,
      save: async () => undefined,
    },
  };
}
