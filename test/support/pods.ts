import type { Pods } from '../../src/registry/source.ts';
import type { Pod } from '../../src/ports/request.ts';

export const pod: Pod = { namespace: 'shop', name: 'web', uid: 'u-1', serviceAccount: 'sa' };

/** An API that has these pull secrets for every pod, and no annotations. */
export const podsOf = (...secrets: Awaited<ReturnType<Pods['pullSecrets']>>): Pods => ({
  pullSecrets: async () => secrets,
  annotations: async () => ({}),
});
