import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)), with the octal escapes of its paths decoded. */
export type MountLine = {
  readonly id: number;
  /** The device of the filesystem: `major:minor`. */
  readonly device: string;
  /** The directory of the filesystem that the mount shows. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  readonly type: string;
};

/** Every mount of this process's namespace, in the order they were made. */
export function listMounts(): readonly MountLine[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(parseMountLine);
}

function parseMountLine(line: string): MountLine {
  const [before = '', after = ''] = line.split(' - ', 2);
  const [id, , device = '', root = '', mountPoint = '', options = ''] = before.split(' ');
  return {
    id: Number(id),
    device,
    root: unescape(root),
    mountPoint: unescape(mountPoint),
    options: options.split(','),
    type: after.split(' ')[0] ?? '',
  };
}

function unescape(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** The mounts at or below a directory, the latest first: the order in which they can be unmounted. */
export function mountsBelow(directory: string): readonly MountLine[] {
  return listMounts()
    .filter(({ mountPoint }) => mountPoint === directory || mountPoint.startsWith(`${directory}/`))
    .reverse();
}

/** Unmounts every mount at or below a directory, busy or not. @throws if one cannot be unmounted. */
export function unmountBelow(directory: string): void {
  for (const { mountPoint } of mountsBelow(directory)) {
    const { status, stderr } = spawnSync('umount', ['--lazy', '--no-canonicalize', mountPoint], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${mountPoint} cannot be unmounted: ${stderr.trim()}`);
  }
}
