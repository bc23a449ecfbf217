import { join } from 'node:path';
import { readBootId } from '../linux/boot-id.ts';
import { ArtifactError, errnoOf, invalidValue } from '../util/error.ts';
import { type Directory, openDirectory, readDirectory } from './files/directory.ts';
import { closedList, type DurableList, openDurableList } from './files/durable-list.ts';
import { attempt } from './files/failure.ts';
import { type Journal, openJournal, readJournal } from './files/journal.ts';
import { closedScratch, openScratch, type Scratch } from './files/scratch.ts';
import { type Migration, openFormat, verifyFormat, verifyNotNewer } from './format.ts';
import { shareLock, takeLock } from './lock.ts';
import { claimStateDir, markOwn, verifyOwn } from './state-dir.ts';
import { type Turn, takeTurn, type Wait } from './turn.ts';

/** The base of a store: its state directory, locked, with a known layout, created if it is absent, or read-only. */
export type Ground = AsyncDisposable & {
  readonly root: Directory;
  /** Opens a directory by its name below the root. */
  directory(name: string): Promise<Directory>;
  readonly scratch: Scratch;
  /** The verification times of contents. */
  readonly journal: Journal;
  /** The sizes of unpacked layers. */
  readonly sizes: Journal;
  /** The content that a power cut may take. */
  readonly unsynced: DurableList;
  /** What a power cut may have torn. */
  readonly torn: readonly string[];
  /** Why it is read-only. */
  readonly reads?: string;
};

export type GroundOptions = {
  readonly stateDir: string;
  /** For a new state directory on a system with SELinux. */
  readonly selinuxLabel?: string | undefined;
  readonly selinuxDirectory?: string;
  /** Default: the kernel's ID of this boot. */
  readonly bootId?: string;
  /** Why it is read-only, for errors: then nothing in it is created, changed or removed. */
  readonly reads?: string | undefined;
  readonly log?: { warn(details: object, message: string): void };
};

/**
 * Opens it. A directory on a disk that cannot be written is opened read-only, so that mounted volumes can be served and
 * unpublished.
 *
 * @throws `busy` while another process has it; `invalid` for a newer layout, or a directory with foreign files;
 *   `denied`; `exhausted`.
 */
export async function openGround(options: GroundOptions): Promise<Ground> {
  const { stateDir, reads } = options;
  try {
    const isOwn = await verifyOwn(stateDir);
    if (reads !== undefined) return await readGround(options, reads);
    return await takeGround(options, isOwn).catch((thrown: unknown) => {
      if (!isOwn || errnoOf(thrown) !== 'EROFS') throw thrown;
      return readGround(options, `the state directory ${stateDir} is on a read-only disk`);
    });
  } catch (thrown) {
    throw toRefusal(thrown, stateDir);
  }
}

/**
 * Waits for the turn of a daemon, as `takeTurn` does, before the state directory is opened. A standby refuses the layout
 * of a newer program at once, while its predecessor still serves.
 *
 * @throws as `openGround` does.
 */
export function openTurn(stateDir: string, wait: Wait | undefined): Promise<Turn> {
  return attempt(`opening the state directory ${stateDir}`, async () => {
    try {
      if (!(await verifyOwn(stateDir))) {
        await using _root = await openDirectory(stateDir);
        await markOwn(stateDir);
      }
      await verifyNotNewer(stateDir, toMigrations({ stateDir }).length);
      return await takeTurn(stateDir, wait);
    } catch (thrown) {
      throw toRefusal(thrown, stateDir);
    }
  });
}

const toMigrations = ({ selinuxLabel, selinuxDirectory = '/sys/fs/selinux' }: GroundOptions): Migration[] => [
  path => claimStateDir(path, selinuxLabel, selinuxDirectory),
];

async function takeGround(options: GroundOptions, isOwn: boolean): Promise<Ground> {
  const { stateDir, bootId = readBootId(), log } = options;
  const note = (text: string): void => log?.warn({}, text);
  const held = new AsyncDisposableStack();
  const directory = async (name: string): Promise<Directory> =>
    held.use(await openDirectory(join(stateDir, name)));
  try {
    const root = await directory('.');
    if (!isOwn) await markOwn(stateDir);
    held.use(await takeLock(stateDir));
    await openFormat(root, toMigrations(options));
    const scratch = held.use(await openScratch(join(stateDir, 'tmp'), note));
    const journal = await openJournal(join(stateDir, 'verified'), scratch.fresh);
    const sizes = await openJournal(join(stateDir, 'sizes'), scratch.fresh);
    const { list, left } = await openDurableList(join(stateDir, 'unsynced'), root, scratch.fresh, bootId);
    const unsynced = held.use(list);
    const close = { [Symbol.asyncDispose]: () => held.disposeAsync() };
    return { root, directory, scratch, journal, sizes, unsynced, torn: left, ...close };
  } catch (thrown) {
    await held.disposeAsync();
    throw thrown;
  }
}

async function readGround(options: GroundOptions, why: string): Promise<Ground> {
  const { stateDir } = options;
  const lock = await shareLock(stateDir);
  try {
    await verifyFormat(stateDir, toMigrations(options).length);
    return {
      root: readDirectory(stateDir),
      directory: async name => readDirectory(join(stateDir, name)),
      scratch: closedScratch(why),
      journal: readJournal(join(stateDir, 'verified')),
      sizes: readJournal(join(stateDir, 'sizes')),
      unsynced: closedList(why),
      torn: [],
      reads: why,
      [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await lock[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** Returns what to do if another user owns the directory, or if it is a file. */
function toRefusal(thrown: unknown, stateDir: string): unknown {
  const errno = errnoOf(thrown);
  if (errno === 'ENOTDIR' || errno === 'EEXIST')
    return invalidValue(
      'state directory',
      stateDir,
      'it, or a part of its path, is a file; correct --state-dir',
    );
  if (errno !== 'EACCES' && errno !== 'EPERM') return thrown;
  return new ArtifactError(
    'denied',
    `the state directory ${stateDir} is not this user's (${errno}): run this as root, or name a directory of your own with --state-dir`,
    thrown,
  );
}
