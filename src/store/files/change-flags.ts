import { clearChangeFlags } from '../../linux/io.ts';
import { errnoOf } from '../../util/error.ts';

/**
 * Makes a change to files or directories. A pod with CAP_SYS_ADMIN and CAP_LINUX_IMMUTABLE can make what its volume shows
 * immutable, and so content of the cache: those flags are cleared, and the change is tried once more.
 */
export function despiteFlags<T>(paths: readonly (string | Buffer)[], change: () => T): T {
  try {
    return change();
  } catch (thrown) {
    clearFlags(thrown, paths);
    return change();
  }
}

/** Clears the flags that caused this failure. @throws the failure where it has another cause. */
export function clearFlags(thrown: unknown, paths: readonly (string | Buffer)[]): void {
  const cleared = errnoOf(thrown) === 'EPERM' ? paths.filter(clearChangeFlags) : [];
  if (cleared.length === 0) throw thrown;
}
