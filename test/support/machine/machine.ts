import { chmodSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from '../../tools/image/tree.ts';
import type { Program } from '../../tools/table.ts';
import { downloadDebianPackages, unpackDebianPackages } from '../image/debian.ts';
import { startChild, waitUntil } from '../node/child.ts';
import { runProgram } from '../os/program.ts';
import { toolPath } from '../project/tools.ts';
import { type DebianKernel, unpackKernel } from './debian-kernel.ts';
import { writeModules } from './kernel-modules.ts';

type Emulator = { readonly program: Program; readonly options: string; readonly console: string };

const emulators: Readonly<Record<Architecture, Emulator>> = {
  amd64: {
    program: 'qemu-system-x86_64',
    options: '-M q35 -cpu max -accel tcg,thread=multi -smp 1',
    console: 'ttyS0',
  },
  arm64: {
    program: 'qemu-system-aarch64',
    options: '-M virt -cpu max,pauth-impdef=on -smp 2',
    console: 'ttyAMA0',
  },
};

/** The disk, its filesystem, and what the driver uses. */
const modules = ['virtio_pci', 'virtio_blk', 'ext4', 'erofs', 'fuse', 'overlay'];

/** What the script prints last, if all its commands succeed. */
const end = 'the script has ended';

/**
 * Starts an emulated machine with a kernel of Debian and a filesystem in memory, which runs a shell script as its first
 * process. Commands of busybox are in its PATH, after those of the filesystem, and an empty ext4 is at /disk. It has one
 * core or two, and yields them to other programs. Returns what it wrote to the console.
 *
 * @throws if a command of the script fails, with the console.
 */
export async function runInMachine(
  debianKernel: DebianKernel,
  filesystem: string,
  script: string,
  directory: string,
): Promise<string> {
  const { architecture } = debianKernel;
  const busybox = downloadDebianPackages(architecture, ['busybox-static'], join(directory, 'busybox'));
  unpackDebianPackages(busybox, filesystem);
  const unpacked = join(directory, 'kernel');
  const kernel = unpackKernel(debianKernel, unpacked, join(directory, 'packages'));
  for (const path of ['proc', 'sys', 'dev', 'tmp', 'disk', 'applets'])
    mkdirSync(join(filesystem, path), { recursive: true });
  writeModules(unpacked, modules, join(filesystem, 'modules'));
  writeFileSync(
    join(filesystem, 'init'),
    `#!/bin/busybox sh
set -eu
/bin/busybox --install -s /applets
export PATH=/usr/local/bin:/nodejs/bin:/usr/bin:/applets
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
  truncateSync(disk, 4 * 1024 ** 3);
  runProgram(toolPath('mkfs.ext4'), '-q', disk);
  const { program, options, console } = emulators[architecture];
  await using machine = await startChild('nice', [
    toolPath(program),
    ...options.split(' '),
    // The kernel ends the machine if the script fails.
    ...'-m 2048 -nographic -nic none -no-reboot'.split(' '),
    '-kernel',
    kernel,
    '-initrd',
    initrd,
    '-append',
    `console=${console} quiet panic=-1`,
    '-drive',
    `file=${disk},format=raw,if=virtio`,
  ]);
  await waitUntil(machine, () => machine.output().includes(end), 'at the end of the script', 900_000);
  return machine.output();
}
