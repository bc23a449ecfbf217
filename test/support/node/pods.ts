import type { PodSecrets } from '../../../src/ports/kube.ts';
import type { Pod } from '../../../src/ports/request.ts';

export const pod: Pod = { namespace: 'shop', name: 'web', uid: 'u-1', serviceAccount: 'sa' };

/** An API with these pull secrets for every pod, and no annotations. */
export const podsOf = (...secrets: Awaited<ReturnType<PodSecrets['pullSecrets']>>): PodSecrets => ({
  pullSecrets: async () => secrets,
  annotations: async () => ({}),
});
