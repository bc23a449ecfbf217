import type { Contender } from '../contender.ts';
import { openCommand } from './command.ts';
import { openContainerd } from './containerd.ts';
import { floors } from './floors.ts';
import { openOurs } from './ours.ts';
import { rivals } from './rivals.ts';

/** Everyone who can take part. `against`: another build of the driver, in place of all other rivals. */
export function listContenders(version: string, program: string, against?: string): readonly Contender[] {
  const others =
    against === undefined
      ? [
          ...rivals.map(openCommand),
          openContainerd('containerd', 1),
          openContainerd('containerd, 4 layers at once', 4),
        ]
      : [openOurs('other build', version, against)];
  return [openOurs('oci-artifact-csi', version, program), ...others, ...floors.map(openCommand)];
}
