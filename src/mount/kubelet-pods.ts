import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Kubelet } from '../ports/kubelet.ts';
import { errnoOf } from '../util/error.ts';

export function openKubeletPods(kubeletDir: string): Kubelet {
  const pods = join(kubeletDir, 'pods');
  return {
    hasPod: async uid => !(await isAbsent(join(pods, uid))) || (await isAbsent(pods)),
  };
}

async function isAbsent(path: string): Promise<boolean> {
  return access(path).then(
    () => false,
    thrown => errnoOf(thrown) === 'ENOENT',
  );
}
