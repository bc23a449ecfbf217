import { join } from 'node:path';
import { test } from 'node:test';
import { serveOnArm64 } from '../support/image/arm64.ts';
import { buildStandInImage } from '../support/image/stand-in-image.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs } from '../support/project/tools.ts';
import { startBuildKit } from '../tools/image/buildkit.ts';

test(
  'the image for arm64 serves, mounts trees and EROFS images read-only, unmounts and ends on a kernel for arm64',
  needs('root', 'runc', 'buildkitd', 'buildctl', 'qemu-system-aarch64', 'cpio', 'xz', 'mkfs.ext4'),
  async () => {
    await using directory = await temporaryDirectory();
    const layout = join(directory.path, 'layout');
    await using kit = await startBuildKit();
    await serveOnArm64(layout, await buildStandInImage(kit, ['arm64'], layout));
  },
);
