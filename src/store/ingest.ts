import { constants, fstatSync, ftruncateSync, writeSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import type { Descriptor } from '../oci/descriptor.ts';
import { algorithmOf, toDigest } from '../oci/digest.ts';
import { ArtifactError } from '../util/error.ts';
import { startWriteback } from '../util/libc.ts';
import { attempt, toStoreError } from './failure.ts';
import type { Hashing } from './hashing.ts';

/**
 * A download under way, from `offset` on. Its life: open (which hashes what an earlier one left) -> write or restart,
 * any number of times -> verify -> commit -> dispose. Disposed before commit, the partial file stays for a resume; but
 * bytes that are wrong, and all of them when the disk is full, are given up at once, and it can start again.
 */
export type Ingest = AsyncDisposable & {
  readonly path: string;
  readonly offset: number;
  /** Takes the chunk before it returns. @throws `corrupt` for more bytes than the descriptor has; `exhausted`. */
  write(chunk: Uint8Array): void;
  restart(): void;
  /** Size, then digest; it may be asked again. @throws `corrupt` with what was expected and what came; it is as after `restart`. */
  verify(): Promise<void>;
  commit(): Promise<void>;
  drop(): Promise<void>;
};

/**
 * Bytes after which the kernel is told to begin writing them to the disk. Without it the fsync of a commit has all of
 * a big blob to write: 512 MiB took 135 ms longer.
 */
const writebackStep = 8 * 1024 * 1024;

/**
 * @param hashing computes the digest beside the writing. A process that is killed leaves no hole: bytes are written in
 *   their order, by this thread.
 * @param land makes the complete file durable under its digest's name.
 * @param onClose called once, when the file is closed.
 */
export async function openIngest(
  path: string,
  descriptor: Descriptor,
  hashing: Hashing,
  land: (file: FileHandle) => Promise<void>,
  onClose: () => void,
  signal: AbortSignal,
): Promise<Ingest> {
  const { digest, size } = descriptor;
  const algorithm = algorithmOf(digest);
  const doing = `downloading blob ${digest}`;
  const file = await attempt(doing, () =>
    open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644),
  );
  const hash = await attempt(doing, async () => hashing.start(file.fd, algorithm)).catch(
    async (thrown: unknown) => {
      await file.close(); // Node ends the process where it finds one open that nobody has
      throw thrown;
    },
  );
  let offset: number;
  let flushed: number;
  let state: 'open' | 'verifying' | 'verified' | 'ended' = 'open';

  const restart = (): void => {
    ftruncateSync(file.fd, 0);
    hash.restart();
    offset = 0;
    flushed = 0;
  };
  const giveUp = (message: string): ArtifactError => {
    restart();
    return new ArtifactError('corrupt', `blob ${digest}: ${message}`);
  };
  const expectState = (expected: typeof state): void => {
    if (state !== expected) throw new ArtifactError('internal', `${doing}: it is ${state}, not ${expected}`);
  };

  const close = async (): Promise<void> => {
    await hash.end();
    await file.close();
  };

  try {
    const { size: left } = fstatSync(file.fd);
    if (left > size) ftruncateSync(file.fd, 0);
    offset = left > size ? 0 : left;
    flushed = offset;
    hash.grow(offset);
    await hash.catchUp(signal);
  } catch (thrown) {
    await close();
    throw signal.aborted ? thrown : toStoreError(doing, thrown);
  }

  return {
    path,
    get offset() {
      return offset;
    },
    restart() {
      expectState('open');
      restart();
    },
    write(chunk) {
      expectState('open');
      if (offset + chunk.length > size) throw giveUp(`more than its ${size} bytes came`);
      try {
        for (let at = 0; at < chunk.length; ) {
          at += writeSync(file.fd, chunk, at, chunk.length - at, offset + at);
        }
        offset += chunk.length;
        hash.grow(offset);
        if (offset - flushed < writebackStep) return;
        startWriteback(file.fd, flushed, offset - flushed);
        flushed = offset;
      } catch (thrown) {
        const error = toStoreError(doing, thrown);
        if (error.code === 'exhausted') restart();
        throw error;
      }
    },
    async verify() {
      if (state === 'verified') return;
      expectState('open');
      if (offset !== size) throw giveUp(`${offset} bytes came where ${size} were expected`);
      state = 'verifying';
      const hex = await attempt(doing, () => hash.digest()).finally(() => {
        state = 'open';
      });
      const actual = toDigest(algorithm, hex);
      if (actual !== digest) throw giveUp(`the ${size} bytes that came have digest ${actual}`);
      state = 'verified';
      await hash.end(); // who unpacks the file for minutes needs the memory of its thread
    },
    async commit() {
      expectState('verified');
      state = 'ended';
      // No truncation where this fails: it may have failed after the file got its digest's name.
      await attempt(`storing blob ${digest}`, () => land(file)).catch(async (thrown: unknown) => {
        if (thrown instanceof ArtifactError && thrown.code === 'exhausted') await rm(path, { force: true });
        throw thrown;
      });
    },
    async drop() {
      state = 'ended';
      await rm(path, { force: true });
    },
    async [Symbol.asyncDispose]() {
      if (state === 'open' && offset === 0) await rm(path, { force: true });
      state = 'ended';
      await close();
      onClose();
    },
  };
}
