import type { PodSecrets } from '../ports/kube.ts';
import { firstOf, parsePullSecret } from './call-secrets.ts';
import type { CredentialSource } from './credential-source.ts';
import type { DockerConfig } from './docker-config.ts';

/**
 * The pull secrets of the pod and of its service account. The most specific key of all of them wins; of equal ones the
 * pod's first. It throws if the API fails: a pod must not use another identity.
 */
export function openPodSecrets(pods: PodSecrets): CredentialSource {
  return {
    name: "the pod's pull secrets",
    async find(endpoint, { pod }, signal) {
      if (pod === undefined) return { kind: 'none', why: 'this call is for no pod' };
      const configs: DockerConfig[] = [];
      const absent: string[] = [];
      for (const { name, data } of await pods.pullSecrets(pod, signal)) {
        const config = data === undefined ? undefined : parsePullSecret(`${pod.namespace}/${name}`, data);
        if (config === undefined) absent.push(`${pod.namespace}/${name}`);
        else configs.push(config);
      }
      const found = firstOf(configs, endpoint);
      if (found.kind === 'credential' || found.why !== undefined || absent.length === 0) return found;
      return { kind: 'none', why: `not there, or no pull secret: ${absent.join(', ')}` };
    },
  };
}
