import { join } from 'node:path';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { type Folder, openFolder, readFolder } from './files/folder.ts';
import { type Migration, openFormat, verifyFormat } from './format.ts';
import { type Journal, openJournal, readJournal } from './files/journal.ts';
import { shareLock, takeLock } from './lock.ts';
import { closedScratch, openScratch, type Scratch } from './files/scratch.ts';
import { claimStateDir, markOwn, verifyOwn } from './state-dir.ts';

/** The state directory under a store: locked, of a layout that is known, and made where it is absent or only read. */
export type Ground = AsyncDisposable & {
  readonly root: Folder;
  /** By its name below the root. */
  folder(name: string): Promise<Folder>;
  readonly scratch: Scratch;
  /** What is known of the verification of contents. */
  readonly journal: Journal;
  /** What is known of the sizes of unpacked layers. */
  readonly sizes: Journal;
  /** Why it is only read. */
  readonly reads?: string;
};

export type GroundOptions = {
  readonly stateDir: string;
  /** For a state directory that is new, where SELinux is on. */
  readonly selinuxLabel?: string | undefined;
  readonly selinuxFolder?: string;
  /** Why it is only read, for errors: then nothing in it is made, changed or removed. */
  readonly reads?: string | undefined;
};

/**
 * One on a disk that cannot be written is read, so that what is mounted can be served and ended.
 * @throws `busy` while another process has it; `invalid` for a newer layout, or a directory of others; `denied`; `exhausted`.
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

const toMigrations = ({ selinuxLabel, selinuxFolder = '/sys/fs/selinux' }: GroundOptions): Migration[] => [
  path => claimStateDir(path, selinuxLabel, selinuxFolder),
];

async function takeGround(options: GroundOptions, isOwn: boolean): Promise<Ground> {
  const { stateDir } = options;
  const held = new AsyncDisposableStack();
  const folder = async (name: string): Promise<Folder> => held.use(await openFolder(join(stateDir, name)));
  try {
    const root = await folder('.');
    if (!isOwn) await markOwn(stateDir);
    held.use(await takeLock(stateDir));
    await openFormat(root, toMigrations(options));
    const scratch = held.use(await openScratch(join(stateDir, 'tmp')));
    const journal = await openJournal(join(stateDir, 'verified'), scratch.fresh);
    const sizes = await openJournal(join(stateDir, 'sizes'), scratch.fresh);
    return { root, folder, scratch, journal, sizes, [Symbol.asyncDispose]: () => held.disposeAsync() };
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
      root: readFolder(stateDir),
      folder: async name => readFolder(join(stateDir, name)),
      scratch: closedScratch(why),
      journal: readJournal(join(stateDir, 'verified')),
      sizes: readJournal(join(stateDir, 'sizes')),
      reads: why,
      [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose](),
    };
  } catch (thrown) {
    await lock[Symbol.asyncDispose]();
    throw thrown;
  }
}

/** Where another user owns the directory, what to do. */
function toRefusal(thrown: unknown, stateDir: string): unknown {
  const errno = errnoOf(thrown);
  if (errno !== 'EACCES' && errno !== 'EPERM') return thrown;
  return new ArtifactError(
    'denied',
    `the state directory ${stateDir} is not this user's (${errno}): run this as root, or name a directory of your own with --state-dir`,
    thrown,
  );
}
