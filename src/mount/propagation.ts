import { readFileSync, readlinkSync } from 'node:fs';
import { type OpenDirectory, statDirectory } from '../linux/directory.ts';
import { parseMountinfo } from './mountinfo.ts';

/** The pid namespace of the machine itself (PROC_PID_INIT_INO). */
const machine = 'pid:[4026531836]';

/**
 * Whether this process has a mount namespace of its own, as in a container, so that kubelet sees only mounts below a
 * shared mount. On the host itself, where users and tests run it by hand, all share one namespace, and mounts need not
 * be shared. Without hostPID, the first process shows that this is a container.
 */
export function hasOwnNamespace(): boolean {
  const [own, first] = [namespaceOf('self', 'mnt'), namespaceOf('1', 'mnt')];
  if (own !== undefined && first !== undefined && own !== first) return true;
  return namespaceOf('self', 'pid') !== machine && (process.pid === 1 || process.ppid === 0);
}

/** Undefined if this process is not allowed to know. */
function namespaceOf(pid: string, kind: 'mnt' | 'pid'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

/** Whether mounts in a directory propagate to other namespaces. */
export type Propagation = { isShared(directory: OpenDirectory): boolean };

/** Uses mountinfo, which takes milliseconds on a busy node: so a shared result is cached. */
export function openPropagation(): Propagation {
  const known = new Set<number>();
  return {
    isShared(directory) {
      const { mountId } = statDirectory(directory);
      if (known.has(mountId)) return true;
      const entries = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
      const shared = entries.some(({ id, shared: is }) => id === mountId && is);
      if (shared) known.add(mountId);
      return shared;
    },
  };
}
