import { randomUUID } from 'node:crypto';
import { lstatSync, opendirSync, readdirSync, renameSync, rmdirSync, type Stats, unlinkSync } from 'node:fs';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { clearChangeFlags } from '../../linux/io.ts';
import { doEach } from '../../util/each.ts';
import { ArtifactError, errnoOf, toArtifactError } from '../../util/error.ts';
import { type Pace, startPace } from '../../util/pace.ts';
import { openDirectory } from './directory.ts';

/**
 * `tmp/`: everything incomplete and everything to be deleted, under random names. Nothing reads it, so the next start
 * deletes what a crash leaves. Disposing it ends running deletions.
 */
export type Scratch = AsyncDisposable & {
  /** Whether writing is not possible. */
  readonly isClosed: boolean;
  /** Returns an unused path in it. @throws the reason if it is closed. */
  fresh(): string;
  /**
   * Moves a file or tree here in one rename, then deletes it in slices. A missing path is success, and so is a rename
   * after which the disk refuses to delete something: that is logged, and the next start tries again.
   */
  discard(path: string): Promise<void>;
  /** Deletes its present content. @throws the first failure, after everything else is deleted. */
  sweep(): Promise<void>;
};

/** The variant for a read-only store. @param why the reason, for errors. */
export function closedScratch(why: string): Scratch {
  const refuse = (): never => {
    throw new ArtifactError('internal', why);
  };
  return {
    isClosed: true,
    fresh: refuse,
    discard: async () => refuse(),
    async sweep() {},
    async [Symbol.asyncDispose]() {},
  };
}

/** @param note logs what cannot be deleted. */
export async function openScratch(path: string, note: (text: string) => void = () => {}): Promise<Scratch> {
  const directory = await openDirectory(path);
  const closing = new AbortController();
  const removals = new Set<Promise<void>>();
  const fresh = (): string => `${path}/${randomUUID()}`;

  async function remove(doomed: string): Promise<void> {
    const removal = removeTree(doomed, closing.signal);
    removals.add(removal);
    try {
      await removal;
    } catch (thrown) {
      if (!closing.signal.aborted) throw thrown;
    } finally {
      removals.delete(removal);
    }
  }

  return {
    isClosed: false,
    fresh,
    async discard(doomed) {
      const aside = fresh();
      if (!moveThere(doomed, aside)) return;
      await remove(aside).catch((thrown: unknown) =>
        note(
          `${aside}, removed from ${doomed}, cannot be deleted, and takes room; the next start tries again: ${toArtifactError(thrown).message}`,
        ),
      );
    },
    sweep: async () => doEach(readdirSync(path), name => remove(join(path, name))),
    async [Symbol.asyncDispose]() {
      closing.abort();
      await Promise.allSettled(removals);
      await directory[Symbol.asyncDispose]();
    },
  };
}

/**
 * Returns whether the path existed. Calls of microseconds are synchronous: through Node's thread pool they would take
 * ten times that.
 */
function moveThere(from: string, to: string): boolean {
  try {
    despiteFlags([from], () => renameSync(from, to));
    return true;
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') return false;
    throw thrown;
  }
}

/**
 * The size in bytes from which a file is unlinked in a thread: the kernel frees its pages and extents synchronously.
 */
const big = 4 * 1024 * 1024;
/** How many subdirectories are moved out of a directory at a time. */
const batch = 1000;

/**
 * Removes a file or a tree in slices that leave the event loop free. It follows no symlink. fs.rm is not used: it
 * queues a tree of 50,000 entries in the thread pool at once, where every other read then waits.
 *
 * A pod with CAP_SYS_ADMIN may change the tree meanwhile, but not the directory that contains it. So each directory of
 * the tree is moved there before it is opened: no symlink can replace it, and no path becomes longer than the kernel
 * accepts, however deep the tree is. A crash leaves directories there with the name of the tree and a number.
 *
 * @throws the signal's reason; another call can remove the rest.
 */
export async function removeTree(path: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!lstatSync(path).isDirectory()) return await removeFile(Buffer.from(path), path);
  const pace = startPace(signal);
  let moved = 0;
  const moveOut = (child: Buffer): string => {
    let name = `${path}-${++moved}`;
    while (statsOf(name) !== undefined) name = `${path}-${++moved}`; // an earlier call left it
    renameSync(child, name);
    return name;
  };
  const directories = [path];
  for (let directory = directories.at(-1); directory !== undefined; directory = directories.at(-1)) {
    const inner = await emptyDirectory(directory, moveOut, pace);
    if (inner.length > 0) {
      directories.push(...inner);
      continue;
    }
    despiteFlags([directory], () => rmdirSync(directory));
    directories.pop();
  }
}

/** Removes the entries of a directory. Returns its subdirectories at their new paths; it may still contain others. */
async function emptyDirectory(
  directory: string,
  moveOut: (child: Buffer) => string,
  pace: Pace,
): Promise<readonly string[]> {
  const inner: string[] = [];
  // latin1, one character per byte: names need not be UTF-8.
  using entries = opendirSync(directory, { encoding: 'latin1', bufferSize: 512 });
  for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
    const child = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(entry.name, 'latin1')]);
    if (!entry.isDirectory()) await removeFile(child, directory);
    else if (!removeIfEmpty(child, directory)) {
      const out = moveOut(child);
      if (lstatSync(out).isDirectory()) inner.push(out);
      else await removeFile(Buffer.from(out), directory);
    }
    if (inner.length === batch) break;
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return inner;
}

function removeIfEmpty(path: Buffer, directory: string): boolean {
  try {
    despiteFlags([path, directory], () => rmdirSync(path));
    return true;
  } catch (thrown) {
    const errno = errnoOf(thrown);
    if (errno === 'ENOTEMPTY' || errno === 'ENOTDIR') return false;
    throw thrown;
  }
}

async function removeFile(path: Buffer, directory: string): Promise<void> {
  try {
    if ((statsOf(path)?.size ?? 0) >= big) await unlink(path);
    else unlinkSync(path);
  } catch (thrown) {
    clearFlags(thrown, [path, directory]);
    await unlink(path);
  }
}

function statsOf(path: string | Buffer): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

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
function clearFlags(thrown: unknown, paths: readonly (string | Buffer)[]): void {
  const cleared = errnoOf(thrown) === 'EPERM' ? paths.filter(clearChangeFlags) : [];
  if (cleared.length === 0) throw thrown;
}
