import {
  closeSync,
  existsSync,
  fchmodSync,
  fstatSync,
  fsync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { shareRuns } from '../../util/shared-run.ts';
import type { Directory } from '../files/directory.ts';
import type { Scratch } from '../files/scratch.ts';

/**
 * Makes small files durable, many in one round: the first sync of a round commits the filesystem journal for all of
 * them. If several arrive during a round, more are likely, so the next round waits for those.
 */
export type GroupCommit = {
  /** When this returns, the file is durable under its name, mode 0644. An existing file stays. */
  commit(bytes: Uint8Array, directory: Directory, name: string): Promise<void>;
};

type File = {
  readonly bytes: Uint8Array;
  readonly aside: string;
  readonly directory: Directory;
  readonly path: string;
  failure?: { readonly thrown: unknown };
};

const sync = promisify(fsync);

/** Milliseconds that a round waits for more files, and the number of files that end the wait. */
const gatherMs = 10;
const enough = 64;

export function openGroupCommit(scratch: Scratch): GroupCommit {
  const waiting: File[] = [];
  let begin = (): void => {};

  const gather = (): Promise<void> =>
    new Promise(resolve => {
      const timer = setTimeout(resolve, gatherMs);
      begin = () => {
        clearTimeout(timer);
        resolve();
      };
      if (waiting.length >= enough) begin();
    });

  const round = shareRuns(async () => {
    if (waiting.length > 1) await gather();
    const files = waiting.splice(0);
    // All are written before any is synced: creating a file waits for a running commit of the journal.
    const written = files.flatMap(file => {
      try {
        return [{ file, fd: write(file) }];
      } catch (thrown) {
        file.failure = { thrown };
        return [];
      }
    });
    const synced = written.map(({ file, fd }) => guard([file], () => sync(fd)).finally(() => closeSync(fd)));
    await Promise.all(synced);
    for (const file of files) moveIntoPlace(file);
    const byDirectory = Map.groupBy(files, ({ directory }) => directory);
    await Promise.all([...byDirectory].map(([directory, committed]) => guard(committed, directory.sync)));
  });

  return {
    async commit(bytes, directory, name) {
      const file: File = { bytes, aside: scratch.fresh(), directory, path: `${directory.path}/${name}` };
      waiting.push(file);
      if (waiting.length >= enough) begin();
      await round();
      if (file.failure !== undefined) throw file.failure.thrown;
    },
  };
}

/** The caller syncs and closes the descriptor. */
function write({ bytes, aside }: File): number {
  const fd = openSync(aside, 'wx', 0o644);
  try {
    if ((fstatSync(fd).mode & 0o7777) !== 0o644) fchmodSync(fd, 0o644);
    writeFileSync(fd, bytes);
    return fd;
  } catch (thrown) {
    closeSync(fd);
    rmSync(aside, { force: true }); // at once: on a full disk, the others of its round can use the space
    throw thrown;
  }
}

function moveIntoPlace(file: File): void {
  try {
    if (file.failure !== undefined || existsSync(file.path)) rmSync(file.aside, { force: true });
    else renameSync(file.aside, file.path);
  } catch (thrown) {
    file.failure ??= { thrown };
  }
}

/** A failure of some files of a round affects those alone. */
async function guard(files: readonly File[], step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (thrown) {
    for (const file of files) file.failure ??= { thrown };
  }
}
