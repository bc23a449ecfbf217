import { lstatSync, readlinkSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project, whose programs the machine runs at the same path. */
const project = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');

/** The address of the node and of its registries, and its name. */
export const nodeAddress = '10.77.0.1';
export const nodeName = 'node1';
/** The address of the service kubernetes.default, which is the API server itself. */
const apiAddress = '10.96.0.1';

/** What kubelet sets in the kernel: in a machine inside a machine, it finds and writes files of its own. */
const tunables = {
  'vm/overcommit_memory': 1,
  'vm/panic_on_oom': 0,
  'kernel/panic': 10,
  'kernel/panic_on_oops': 1,
  'kernel/keys/root_maxkeys': 1_000_000,
  'kernel/keys/root_maxbytes': 25_000_000,
} as const;

/** Makes a root directory: the programs of this machine, and directories of its own for all else. */
export async function makeRoot(root: string): Promise<void> {
  const directories = [
    'dev',
    'etc/kubernetes',
    'mnt',
    'proc',
    'root',
    'run',
    'sys',
    'usr',
    'var/lib',
    'var/log',
  ];
  for (const path of [...directories, 'tmp', tmpdir(), project])
    await mkdir(join(root, path), { recursive: true });
  for (const name of ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']) {
    const there = lstatSync(`/${name}`, { throwIfNoEntry: false });
    if (there?.isSymbolicLink()) await symlink(readlinkSync(`/${name}`), join(root, name));
  }
  const files = {
    hosts: `127.0.0.1 localhost ${nodeName}\n${nodeAddress} registry.test\n`,
    'resolv.conf': '',
    passwd: 'root:x:0:0::/root:/bin/sh\n',
    group: 'root:x:0:\n',
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(root, 'etc', name), content);
  await symlink('../usr/lib/os-release', join(root, 'etc/os-release'));
}

/**
 * The script that turns new namespaces into a node with that root directory.
 *
 * The node has its address on the loopback device, because kubelet refuses 127.0.0.0/8, and the address of the service
 * kubernetes.default, so that no proxy for services is needed. Pods reach it through a bridge. A second proc and sysfs
 * are in sight, with nothing mounted over parts of them: without, the kernel refuses pods with user namespaces theirs.
 */
export function bootScript(root: string): string {
  const files = Object.entries(tunables).map(([name, value]) => {
    const file = `/run/tunable-${name.replaceAll('/', '-')}`;
    return `echo ${value} > ${file}; mount --bind ${file} /proc/sys/${name}`;
  });
  return `
mount --bind ${root} ${root}
cd ${root}
mount --rbind /usr usr
mount --rbind /dev dev
mount --bind ${project} .${project}
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
pivot_root . mnt
cd /
umount -l /mnt
mkdir /run/proc /run/sys
mount -t proc proc /run/proc
mount -t sysfs sysfs /run/sys
${files.join('\n')}
mount --make-rshared /
hostname ${nodeName}
ip link set lo up
ip address add ${nodeAddress}/32 dev lo
ip address add ${apiAddress}/32 dev lo
ip link add cni0 type bridge
ip address add 10.88.0.1/16 dev cni0
ip link set cni0 up
ip route add default dev cni0
echo 1 > /proc/sys/net/ipv4/ip_forward
`;
}
