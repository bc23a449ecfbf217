import { randomUUID } from 'node:crypto';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** The names in a directory that dfdaemon gives to its files. While one is there, the blocks of the file are taken. */
export type DfdaemonLinks = Disposable & {
  /** Returns an unused path. Disposing it removes what is there. */
  open(): Disposable & { readonly path: string };
};

/** After which nobody uses a link any more. */
const idleMs = 3_600_000;
const end = '.handover';

/** Removes now and then what is left of earlier processes, until it is disposed. */
export function openDfdaemonLinks(directory: string): DfdaemonLinks {
  const own = new Set<string>();
  const tidy = (): void => {
    const oldest = Date.now() - idleMs;
    for (const name of list(directory)) {
      const path = join(directory, name);
      if (!own.has(path) && changedAt(path) < oldest) remove(path);
    }
  };
  const tidying = setInterval(tidy, idleMs).unref();
  return {
    open() {
      const path = join(directory, `${randomUUID()}${end}`);
      own.add(path);
      return {
        path,
        [Symbol.dispose]() {
          remove(path);
          own.delete(path);
        },
      };
    },
    [Symbol.dispose]: () => clearInterval(tidying),
  };
}

// What a timer throws ends the process: what cannot be read or removed now is tried again later.

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory).filter(name => name.endsWith(end));
  } catch {
    return []; // it is made when it is needed
  }
}

function changedAt(path: string): number {
  try {
    return lstatSync(path).mtimeMs;
  } catch {
    return Infinity;
  }
}

function remove(path: string): void {
  try {
    rmSync(path, { force: true, recursive: true });
  } catch {}
}
