import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { layoutOf } from '../oci/layout.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { unpackImage } from './container.ts';
import { runInMachine } from './machine.ts';

const script = `
for path in csi var/lib/kubelet var/lib/oci-artifact-csi; do mkdir -p /$path; mount -t tmpfs tmpfs /$path; done
mount --make-shared /var/lib/kubelet
mkdir -p /var/lib/kubelet/pods /var/lib/kubelet/plugins_registry
oci-artifact-csi serve --disk-max 100 --cache-high 100 --http-listen 127.0.0.1:9809 &
daemon=$!
until [ -S /csi/csi.sock ]; do sleep 1; done
oci-artifact-csi load /tiny.tar registry.test/models/tiny:1
oci-artifact-csi mount --pull-policy Never registry.test/models/tiny:1 /var/lib/kubelet/pods/tiny
echo "content: $(cat /var/lib/kubelet/pods/tiny/weights)"
grep pods/tiny /proc/self/mountinfo
if touch /var/lib/kubelet/pods/tiny/new; then exit 1; fi
oci-artifact-csi unmount /var/lib/kubelet/pods/tiny
if grep pods/tiny /proc/self/mountinfo; then exit 1; fi
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
  const tar = await layoutOf([{ name: 'weights', bytes: Buffer.from('abc') }]);
  writeFileSync(join(filesystem, 'tiny.tar'), tar);
  const shown = await runInMachine(filesystem, script, directory.path);
  assert.match(shown, /^content: abc\r?$/m);
  assert.match(shown, /\/var\/lib\/kubelet\/pods\/tiny ro,nosuid,nodev/);
}
