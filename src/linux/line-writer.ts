import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import type { KoffiFunc } from 'koffi';
import { errnoOf } from '../util/error.ts';
import { check, libc } from './libc.ts';

const F_GETFL = 3;
const F_SETFL = 4;

const fcntl: KoffiFunc<(fd: number, command: number, flags: number) => number> =
  libc.func('int fcntl(int, int, int)');

/** Writes lines to a descriptor of this process, and never blocks. */
export type LineWriter = {
  /** Queues the line, or drops it while the queue is full. */
  write(line: string): void;
  /** The number of lines dropped so far. */
  dropped(): number;
  /**
   * To be called at the end of the process: tries to write the queue, for at most so many milliseconds, and blocks this
   * thread meanwhile.
   */
  flush(timeoutMs: number): void;
};

/** The bytes that are kept for a reader that does not read: some thousand lines. */
const maxKept = 1024 * 1024;
/** Milliseconds between two attempts. */
const againMs = 50;

/**
 * Opens a writer. If a pipe is not read, a terminal is stopped or a disk is full, lines are kept in order up to a
 * limit, and retried. Lines beyond the limit are dropped. Node's own streams keep all lines without a limit, or block
 * the thread.
 *
 * @param onRoom called, once lines are accepted again, with the number dropped since the last call.
 */
export function openLineWriter(fd: number, onRoom: (dropped: number) => void): LineWriter {
  const own = openUnblocked(fd);
  let kept: Buffer[] = [];
  let bytes = 0;
  let dropped = 0;
  let told = 0;
  let again: NodeJS.Timeout | undefined;

  /** Writes what it can now. */
  const drain = (): void => {
    while (kept.length > 0) {
      // One call for all, if it is not large.
      const next = Buffer.concat(kept.length > 64 ? kept.splice(0, 64) : kept.splice(0));
      const written = writeNow(own, next);
      bytes -= written;
      if (written === next.length) continue;
      kept.unshift(next.subarray(written));
      break;
    }
  };
  /** Writes what it can, and reports lost lines once there is room for that. */
  const settle = (): void => {
    drain();
    if (told === dropped || bytes > maxKept / 2) return;
    const since = dropped - told;
    told = dropped;
    onRoom(since);
  };
  const tryAgain = (): void => {
    again = undefined;
    settle();
    if (kept.length > 0) again ??= setTimeout(tryAgain, againMs).unref();
  };

  return {
    write(line) {
      const chunk = Buffer.from(line);
      // Once lines are lost, all are until that can be reported: a log has one gap, not a hundred.
      if (bytes + chunk.length > maxKept || (told < dropped && bytes > maxKept / 2)) {
        dropped++;
        return;
      }
      kept.push(chunk);
      bytes += chunk.length;
      if (again === undefined) tryAgain();
    },
    dropped: () => dropped,
    flush(timeoutMs) {
      const end = performance.now() + timeoutMs;
      for (settle(); kept.length > 0 && performance.now() < end; settle()) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      }
    },
  };
}

/**
 * Opens the same file with a non-blocking description of its own: the flag belongs to the description, which other
 * processes share. A socket cannot be reopened, so its own description gets the flag.
 */
function openUnblocked(fd: number): number {
  if (fstatSync(fd).isFile()) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    setNonBlocking(fd);
    return fd;
  }
}

/**
 * Returns how many bytes were written. A failure may be transient: the reader may return, and a disk have space again.
 */
function writeNow(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes);
  } catch (thrown) {
    if (errnoOf(thrown) === undefined) throw thrown;
    return 0;
  }
}

/** Makes the open file description, which may be shared with other processes, non-blocking (fcntl(2)). */
function setNonBlocking(fd: number): void {
  const flags = check(fcntl(fd, F_GETFL, 0), 'fcntl', fd);
  check(fcntl(fd, F_SETFL, flags | constants.O_NONBLOCK), 'fcntl', fd);
}
