import { type BigIntStats, lstatSync } from 'node:fs';
import type { Algorithm } from '../../oci/digest.ts';
import type { Damage, HashFile, Look } from '../../ports/store.ts';
import { errnoOf } from '../../util/error.ts';

/** The expected properties of a file in the cache. */
export type ExpectedFile = {
  readonly algorithm: Algorithm;
  readonly hex: string;
  /** The size, if it is known apart from the hash. */
  readonly size?: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
};

/**
 * Returns the errno that makes a file as bad as one with wrong bytes.
 *
 * @throws errors that do not concern the file, such as a lack of descriptors.
 */
export function toUnreadable(thrown: unknown): string {
  const errno = errnoOf(thrown);
  if (errno === undefined || transient.has(errno)) throw thrown;
  return `cannot be read (${errno})`;
}

const transient = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN', 'EINTR']);

/** @returns what is wrong with a file, or undefined. An unreadable file is as bad as one with wrong bytes. */
export async function findDamage(
  path: string,
  wanted: ExpectedFile,
  look: Look,
  signal: AbortSignal,
): Promise<Damage | undefined> {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return { problem: 'is missing', inodes: [] };
  const problem =
    describe(stats, wanted) ??
    (look === 'inode' ? undefined : await describeBytes(path, wanted, look, signal));
  return problem === undefined ? undefined : { problem, inodes: [stats.ino] };
}

function describe(stats: BigIntStats, { size, mode, uid, gid }: ExpectedFile): string | undefined {
  if (!stats.isFile()) return 'is no regular file';
  if (size !== undefined && Number(stats.size) !== size) return `has ${stats.size} bytes, not ${size}`;
  const has = Number(stats.mode) & 0o7777;
  if (has !== mode) return `has mode ${has.toString(8)}, not ${mode.toString(8)}`;
  if (Number(stats.uid) === uid && Number(stats.gid) === gid) return undefined;
  return `belongs to ${stats.uid}:${stats.gid}, not ${uid}:${gid}`;
}

async function describeBytes(
  path: string,
  { algorithm, hex }: ExpectedFile,
  hash: HashFile,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const found = await hash(path, algorithm, signal);
    return found.hex === hex ? undefined : `has ${found.size} bytes of ${algorithm} ${found.hex}, not ${hex}`;
  } catch (thrown) {
    signal.throwIfAborted();
    return toUnreadable(thrown);
  }
}
