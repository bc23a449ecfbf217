import { closeSync, read, writeSync, writev } from 'node:fs';
import { promisify } from 'node:util';
import { formatError, formatHead } from '../linux/fuse-wire.ts';
import { never } from '../util/abortable.ts';
import { createSemaphore } from '../util/mutex.ts';

/** A read of the kernel: `length` is in whole blocks, of which the file has the first `bytes`. */
export type LandingRead = {
  readonly unique: bigint;
  readonly offset: number;
  readonly bytes: number;
  readonly length: number;
};

/**
 * Answers reads of a FUSE connection. The kernel may have withdrawn any of them. Disposing of it waits for answers under
 * way, and closes the descriptor: an answer after that would be written to whatever has its number.
 */
export type LandingAnswers = AsyncDisposable & {
  /**
   * Answers with bytes of a file, and zeros after them, if the read still waits once they are in memory: the descriptor
   * may be that of another file by then. @throws if the file lacks them, or cannot be read.
   */
  send(read: LandingRead, fd: number, stillWaits: () => boolean): Promise<void>;
  refuse(unique: bigint): void;
};

const EIO = 5;
/** Answers under way: each holds its bytes in memory. */
const maxAnswers = 2;

const readAt = promisify(read);
const writeAll = promisify(writev);

/** Files are read in the pool: a disk may be slow. */
export function createLandingAnswers(device: number): LandingAnswers {
  const turns = createSemaphore(maxAnswers);
  let isOpen = true;
  return {
    async send({ unique, offset, bytes, length }, fd, stillWaits) {
      using _turn = await turns.acquire(never);
      if (!isOpen || !stillWaits()) return;
      const buffer = Buffer.alloc(length);
      const { bytesRead } = await readAt(fd, buffer, 0, bytes, offset);
      if (bytesRead < bytes) throw new Error(`the file has ${bytesRead} bytes at ${offset}, not ${bytes}`);
      if (!stillWaits()) return;
      await writeAll(device, [formatHead(unique, length), buffer]).catch(ignoreGone);
    },
    refuse(unique) {
      if (!isOpen) return;
      try {
        writeSync(device, formatError(unique, EIO));
      } catch {
        // nobody waits for it any more
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(Array.from({ length: maxAnswers }, () => turns.acquire(never)));
      if (isOpen) closeSync(device);
      isOpen = false;
    },
  };
}

function ignoreGone(): void {}
