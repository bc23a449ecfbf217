import { rmSync } from 'node:fs';
import { readRegular } from '../../util/regular-file.ts';
import { writeAside } from '../files/atomic-file.ts';
import { type FileAt, stampFiles } from '../integrity/stamp.ts';

/**
 * The shape of a view, `views/<key>.shape` beside it: its directories and symlinks, and their stamp when it was built
 * or compared.
 *
 * Adding, removing, renaming or replacing an entry changes the ctime of its directory. So unchanged directories prove
 * the name and the inode of each of their entries, and a check costs a few microseconds per directory, not per entry.
 * The owner of a symlink may change without that, so symlinks are stamped themselves. The content of files is covered
 * by the evidence of their blobs and layers; files that are copies of those are stamped here too.
 */
export type Shape = {
  /**
   * Records the present tree as right. `watched`: paths relative to the root that begin with a slash, and "", the root
   * itself. The file is not synced: a lost one costs a comparison.
   */
  write(key: string, watched: Iterable<Buffer>, signal: AbortSignal): Promise<void>;
  forget(key: string): void;
  /** Whether a tree is unchanged; false if the shape is absent or torn. */
  isKept(key: string, signal: AbortSignal): Promise<boolean>;
};

export function openShape(
  treeOf: (key: string) => string,
  fileOf: (key: string) => string,
  aside: () => string,
): Shape {
  const stamp = async (
    key: string,
    watched: Iterable<Buffer>,
    signal: AbortSignal,
  ): Promise<string | undefined> => {
    const root = treeOf(key);
    const files = Iterator.from(watched).map((path): FileAt => [root, path.subarray(1)]);
    const found = await stampFiles(files, signal);
    return found && `${found.kept} ${found.changed}`;
  };
  /** Those that are on a disk which cannot be written. */
  const forgotten = new Set<string>();
  const forget = (key: string): void => {
    try {
      rmSync(fileOf(key), { force: true, recursive: true });
      forgotten.delete(key);
    } catch {
      forgotten.add(key);
    }
  };
  return {
    forget,
    async write(key, watched, signal) {
      const all = [...watched];
      const stamped = await stamp(key, all, signal);
      // No name contains a NUL.
      const text = [Buffer.from(stamped ?? ''), ...all].flatMap(part => [part, separator]);
      forget(key); // its content on the disk is unknown
      await writeAside(aside(), fileOf(key), Buffer.concat(text), false);
      forgotten.delete(key);
    },
    async isKept(key, signal) {
      if (forgotten.has(key)) return false;
      const [stamped, ...watched] = readParts(fileOf(key));
      return stamped !== undefined && (await stamp(key, watched, signal)) === stamped.toString();
    },
  };
}

/** The variant for a read-only store. */
export function readShape({ isKept }: Shape): Shape {
  return { isKept, forget() {}, async write() {} };
}

const separator = Buffer.of(0);

function readParts(path: string): readonly Buffer[] {
  let bytes: Buffer;
  try {
    bytes = Buffer.from(readRegular(path, 'latin1'), 'latin1');
  } catch {
    return [];
  }
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    if (end === -1) return []; // torn
    parts.push(bytes.subarray(at, end));
    at = end + 1;
  }
  return parts;
}
