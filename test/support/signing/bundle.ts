import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toolPath } from '../project/tools.ts';

/** A directory of the host in a container, with the mount options for the container runtime. */
export type BundleMount = {
  readonly source: string;
  readonly destination: string;
  readonly options: readonly string[];
};

/** The default capabilities of containerd and Docker. */
const defaultCapabilities = (
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID ' +
  'SYS_CHROOT'
)
  .split(' ')
  .map(name => `CAP_${name}`);

/** Starts a program in a mount namespace of its own that has cgroup 2 alone: crun refuses a node that has both. */
const onCgroup2 = [
  'unshare',
  '--mount',
  '--propagation',
  'private',
  'sh',
  '-c',
  'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$0" "$@"',
] as const;

/**
 * Runs a shell script as root in a container of busybox: default capabilities, no seccomp and no device cgroup, which
 * gives the script more than a pod's process has. Returns its output, both streams.
 *
 * @throws if it fails.
 */
export function runContainer(
  runtime: 'crun' | 'runc',
  directory: string,
  mounts: readonly BundleMount[],
  script: string,
  more: readonly string[] = [],
): string {
  const program = toolPath(runtime);
  const bundle = join(directory, `bundle-${runtime}`);
  const rootfs = join(bundle, 'rootfs');
  for (const name of ['bin', 'proc', 'dev', 'tmp']) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync(toolPath('busybox'), join(rootfs, 'bin/busybox'));
  const all = [...defaultCapabilities, ...more];
  const capabilities = { bounding: all, effective: all, permitted: all };
  const config = {
    ociVersion: '1.0.2',
    process: {
      user: { uid: 0, gid: 0 },
      cwd: '/',
      env: ['PATH=/bin'],
      args: ['/bin/busybox', 'sh', '-c', `exec 2>&1; /bin/busybox --install -s /bin; ${script}`],
      capabilities,
    },
    root: { path: 'rootfs' },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      ...mounts.map(mount => ({ ...mount, type: 'bind' })),
    ],
    linux: { namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map(type => ({ type })) },
  };
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
  const id = `test-${randomUUID()}`;
  const [shell, ...wrapped] = [...onCgroup2, program, '--root', join(directory, `run-${runtime}`)];
  const options = { encoding: 'utf8', timeout: 30_000 } as const;
  try {
    const ran = spawnSync(shell, [...wrapped, 'run', '--bundle', bundle, id], options);
    if (ran.status !== 0)
      throw new Error(`${runtime} ended with ${ran.status ?? ran.signal}:\n${ran.stdout}${ran.stderr}`);
    return ran.stdout;
  } finally {
    spawnSync(shell, [...wrapped, 'delete', '--force', id], options);
  }
}
