import { chmodSync, globSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startChild, waitUntil } from '../node/child.ts';
import { runProgram } from '../os/program.ts';
import { toolPath } from '../project/tools.ts';
import { downloadDebianPackages } from './debian.ts';
import { writeModules } from './kernel-modules.ts';

/** The disk, its filesystem, and EROFS. */
const modules = ['virtio_pci', 'virtio_blk', 'ext4', 'erofs'];

/** What the script prints last, if all its commands succeed. */
const end = 'the script has ended';

/**
 * Starts an emulated machine for arm64, with a kernel of Debian and a filesystem in memory, which runs a shell script as
 * its first process. Commands of busybox are in its PATH, and an empty ext4 is at /disk. Returns what it wrote to the
 * console.
 *
 * @throws if a command of the script fails, with the console.
 */
export async function runInMachine(filesystem: string, script: string, directory: string): Promise<string> {
  unpackDebian(['busybox-static'], filesystem, join(directory, 'busybox'));
  const kernel = join(directory, 'kernel');
  unpackDebian([findKernel(join(directory, 'newest'))], kernel, join(directory, 'packages'));
  for (const path of ['proc', 'sys', 'dev', 'tmp', 'disk', 'applets'])
    mkdirSync(join(filesystem, path), { recursive: true });
  writeModules(kernel, modules, join(filesystem, 'modules'));
  writeFileSync(
    join(filesystem, 'init'),
    `#!/bin/busybox sh
set -eu
/bin/busybox --install -s /applets
export PATH=/usr/local/bin:/applets
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do insmod $module; done
mount -t ext4 /dev/vda /disk
ip link set lo up
${script}
echo '${end}'
poweroff -f
`,
  );
  chmodSync(join(filesystem, 'init'), 0o755);
  const initrd = join(directory, 'initrd');
  const pack = `cd "$0" && find . | ${toolPath('cpio')} --quiet --create --format=newc > "$1"`;
  runProgram('sh', '-c', pack, filesystem, initrd);
  const disk = join(directory, 'disk');
  writeFileSync(disk, '');
  truncateSync(disk, 256 * 1024 * 1024);
  runProgram(toolPath('mkfs.ext4'), '-q', disk);
  const [image = ''] = globSync('boot/vmlinuz-*', { cwd: kernel });
  // The kernel ends the machine if the script fails.
  const options = `-M virt -cpu max,pauth-impdef=on -smp 2 -m 2048 -nographic -nic none -no-reboot`.split(
    ' ',
  );
  const boot = ['-kernel', join(kernel, image), '-initrd', initrd];
  const append = ['-append', 'console=ttyAMA0 quiet panic=-1'];
  const drive = ['-drive', `file=${disk},format=raw,if=virtio`];
  await using machine = await startChild(toolPath('qemu-system-aarch64'), [
    ...options,
    ...boot,
    ...append,
    ...drive,
  ]);
  await waitUntil(machine, () => machine.output().includes(end), 'at the end of the script', 600_000);
  return machine.output();
}

function unpackDebian(names: readonly string[], into: string, directory: string): void {
  for (const path of downloadDebianPackages('arm64', names, directory)) {
    const unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --keep-directory-symlink --no-same-owner';
    mkdirSync(into, { recursive: true });
    runProgram('sh', '-ec', unpack, path, into);
  }
}

/** The package with the newest kernel for virtual machines. */
function findKernel(directory: string): string {
  const [newest = ''] = downloadDebianPackages('arm64', ['linux-image-cloud-arm64'], directory);
  return runProgram('dpkg-deb', '--field', newest, 'Depends').split(/[ ,]/)[0]?.trim() ?? '';
}
