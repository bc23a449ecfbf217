import { existsSync } from 'node:fs';
import type { ImageMounts } from '../ports/mounter.ts';
import { imageDirectory, openImageMounts } from './image-mounts.ts';
import { type KernelMounter, openMounter } from './mounter.ts';

/** The mounts of a node: volumes, and the images that some of them show. */
export type Mounts = Disposable & {
  readonly mounter: KernelMounter;
  readonly images: ImageMounts & {
    /** Why there is no place for them that outlives this process. */
    problem(): string | undefined;
  };
};

export function openMounts(options: {
  readonly kubeletDir: string;
  readonly driverName: string;
  readonly stateDir: string;
  readonly selinuxLabel: string;
}): Mounts {
  const { kubeletDir, driverName, stateDir, selinuxLabel } = options;
  const directory = imageDirectory(kubeletDir, driverName);
  const mounter = openMounter({ kubeletDir, stateDir });
  const mounts = openImageMounts(directory, existsSync('/sys/fs/selinux') ? selinuxLabel : undefined);
  return {
    mounter,
    images: {
      ...mounts,
      problem: () =>
        existsSync(kubeletDir) ? undefined : `kubelet's directory ${kubeletDir} does not exist`,
    },
    [Symbol.dispose]: () => mounter[Symbol.dispose](),
  };
}
