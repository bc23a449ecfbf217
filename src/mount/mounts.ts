import { closeSync, existsSync } from 'node:fs';
import { continueFuseMount } from '../linux/fuse.ts';
import type { Landings, LateMounts } from '../ports/landing.ts';
import type { ImageMounts } from '../ports/mounter.ts';
import type { HolderLink } from './holder-link.ts';
import { imageDirectory, openImageMounts } from './image-mounts.ts';
import { type LandingSupport, tryLandings } from './landing-probe.ts';
import { continueLandings, type KeptLandings, openLandings } from './landings.ts';
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
  /**
   * Continues those that the holder keeps; undefined if it keeps none. It keeps them no longer if they do not work.
   * `prepare` adds what the earlier process served.
   */
  resumeLandings(
    directory: string,
    prepare: (landings: Pick<Landings, 'add'>) => void,
  ): Promise<LandingSupport | undefined>;
};

export function openMounts(options: {
  readonly kubeletDir: string;
  readonly driverName: string;
  readonly stateDir: string;
  readonly selinuxLabel: string;
  readonly holder?: HolderLink | undefined;
}): Mounts {
  const { kubeletDir, driverName, stateDir, selinuxLabel, holder } = options;
  const mounter = openMounter({ kubeletDir, stateDir });
  const context = existsSync('/sys/fs/selinux') ? selinuxLabel : undefined;
  const mounts = openImageMounts(imageDirectory(kubeletDir, driverName), context);
  const openKept = async (directory: string, open: () => Promise<KeptLandings>): Promise<LandingSupport> => {
    const support = await tryLandings(directory, open);
    if (support.kind === 'on' && holder !== undefined) support.landings.keepBy(holder);
    return support;
  };
  return {
    mounter,
    images: {
      ...mounts,
      problem: () =>
        existsSync(kubeletDir) ? undefined : `kubelet's directory ${kubeletDir} does not exist`,
    },
    tryLandings: (directory, timeoutSeconds) =>
      openKept(directory, () => openLandings({ timeoutSeconds, context })),
    async resumeLandings(directory, prepare) {
      const files = holder?.take();
      if (files === undefined) return undefined;
      const [device, mount, ...others] = files;
      if (device === undefined || mount === undefined || others.length > 0) {
        for (const file of files) closeSync(file);
        holder?.drop();
        return undefined;
      }
      const open = async () => continueLandings(continueFuseMount(device, mount), prepare);
      const support = await openKept(directory, open);
      if (support.kind === 'off') holder?.drop();
      return support;
    },
    [Symbol.dispose]: () => mounter[Symbol.dispose](),
  };
}
