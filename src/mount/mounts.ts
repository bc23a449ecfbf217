import { existsSync } from 'node:fs';
import type { LateMounts } from '../ports/landing.ts';
import type { ImageMounts } from '../ports/mounter.ts';
import { imageDirectory, openImageMounts } from './image-mounts.ts';
import { type LandingSupport, tryLandings } from './landing-probe.ts';
import { type KernelMounter, openMounter } from './mounter.ts';

/** The mounts of a node: volumes, and the images that some of them show. */
export type Mounts = Disposable & {
  readonly mounter: KernelMounter;
  readonly images: ImageMounts &
    LateMounts & {
      /** Why there is no place for them that outlives this process. */
      problem(): string | undefined;
    };
  /**
   * Opens the landings of late views.
   *
   * @param timeoutSeconds after which the kernel fails all reads of landings that do not answer.
   */
  tryLandings(directory: string, timeoutSeconds: number): Promise<LandingSupport>;
};

export function openMounts(options: {
  readonly kubeletDir: string;
  readonly driverName: string;
  readonly stateDir: string;
  readonly selinuxLabel: string;
}): Mounts {
  const { kubeletDir, driverName, stateDir, selinuxLabel } = options;
  const mounter = openMounter({ kubeletDir, stateDir });
  const context = existsSync('/sys/fs/selinux') ? selinuxLabel : undefined;
  const mounts = openImageMounts(imageDirectory(kubeletDir, driverName), context);
  return {
    mounter,
    images: {
      ...mounts,
      problem: () =>
        existsSync(kubeletDir) ? undefined : `kubelet's directory ${kubeletDir} does not exist`,
    },
    tryLandings: (directory, timeoutSeconds) => tryLandings(directory, { timeoutSeconds, context }),
    [Symbol.dispose]: () => mounter[Symbol.dispose](),
  };
}
