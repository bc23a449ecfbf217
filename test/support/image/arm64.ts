import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DebianKernel } from '../machine/debian-kernel.ts';
import { runInMachine } from '../machine/machine.ts';
import { layoutOf } from '../oci/layout.ts';
import { gzip, tarOf } from '../oci/tar.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { unpackImage } from './container.ts';

const kernel: DebianKernel = { architecture: 'arm64', suite: 'trixie', package: 'linux-image-cloud-arm64' };

const script = `
for path in csi var/lib/kubelet; do mkdir -p /$path; mount -t tmpfs tmpfs /$path; done
mkdir -p /var/lib/oci-artifact-csi
mount --bind /disk /var/lib/oci-artifact-csi
mount --make-shared /var/lib/kubelet
mkdir -p /var/lib/kubelet/pods /var/lib/kubelet/plugins_registry
oci-artifact-csi serve --disk-max 100 --cache-high 100 --http-listen 127.0.0.1:9809 &
daemon=$!
until [ -S /csi/csi.sock ]; do sleep 1; done
for kind in tree image; do
  target=/var/lib/kubelet/pods/$kind
  oci-artifact-csi load /$kind.tar registry.test/models/$kind:1
  oci-artifact-csi mount --pull-policy Never registry.test/models/$kind:1 $target
  echo "$kind: $(cat $target/weights)"
  grep pods/$kind /proc/self/mountinfo
  if touch $target/new; then exit 1; fi
  oci-artifact-csi unmount $target
  if grep pods/$kind /proc/self/mountinfo; then exit 1; fi
done
kill -TERM $daemon
wait $daemon
`;

/**
 * Lets an image for arm64 serve, mount, unmount and end in an emulated machine, by its manifest in an OCI layout. Takes
 * one to three minutes.
 *
 * @throws if it does not.
 */
export async function serveOnArm64(layout: string, digest: string): Promise<void> {
  await using directory = await temporaryDirectory();
  const filesystem = join(directory.path, 'root');
  unpackImage(layout, digest, filesystem);
  const weights = Buffer.from('abc');
  const tar = gzip(await tarOf([[{ name: 'weights' }, weights]]));
  for (const [kind, layer] of Object.entries({
    tree: { name: 'weights', bytes: weights },
    image: { mediaType: 'application/vnd.acme.layer.v1.tar+gzip', bytes: tar },
  }))
    writeFileSync(join(filesystem, `${kind}.tar`), await layoutOf([layer]));
  const shown = await runInMachine(kernel, filesystem, script, directory.path);
  const filesystems = { tree: 'ext4', image: 'erofs' };
  for (const [kind, type] of Object.entries(filesystems)) {
    assert.match(shown, new RegExp(`^${kind}: abc\\r?$`, 'm'));
    assert.match(shown, new RegExp(`/var/lib/kubelet/pods/${kind} ro,nosuid,nodev.* - ${type} `));
  }
}
