import { readFileSync, readlinkSync } from 'node:fs';
import { type OpenDirectory, statFolder } from '../linux/folder.ts';
import { parseMountinfo } from './mountinfo.ts';

/** The pid namespace of the machine itself (PROC_PID_INIT_INO). */
const machine = 'pid:[4026531836]';

/**
 * Whether this process has a mount namespace of its own, as in a container, so that only what is mounted below a shared
 * mount is seen by kubelet. On the host itself, and where people and tests run it by hand, there is one namespace for
 * all, and its mounts need not be shared. Without hostPID a container is told by its first process.
 */
export function hasOwnNamespace(): boolean {
  const [own, first] = [namespaceOf('self', 'mnt'), namespaceOf('1', 'mnt')];
  if (own !== undefined && first !== undefined && own !== first) return true;
  return namespaceOf('self', 'pid') !== machine && (process.pid === 1 || process.ppid === 0);
}

/** Undefined where this process may not know. */
function namespaceOf(pid: string, kind: 'mnt' | 'pid'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

/** Whether what is mounted in a folder reaches other namespaces. */
export type Propagation = { isShared(folder: OpenDirectory): boolean };

/** By mountinfo, which takes milliseconds on a busy node: so a mount that was found shared is not looked for again. */
export function openPropagation(): Propagation {
  const known = new Set<number>();
  return {
    isShared(folder) {
      const { mountId } = statFolder(folder);
      if (known.has(mountId)) return true;
      const entries = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
      const shared = entries.some(({ id, shared: is }) => id === mountId && is);
      if (shared) known.add(mountId);
      return shared;
    },
  };
}
