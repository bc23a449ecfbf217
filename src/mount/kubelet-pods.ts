import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../util/error.ts';

/** The pods that kubelet has on this node, by their folders below its own. */
export type KubeletPods = {
  /** Without the folder of all pods nobody can say that one is gone: the disk with it may not be mounted yet. */
  hasPod(uid: string): Promise<boolean>;
};

export function openKubeletPods(kubeletDir: string): KubeletPods {
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
