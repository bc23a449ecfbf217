import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { errnoOf } from '../util/error.ts';
import { setNonBlocking } from './libc.ts';

/** Writes lines to a descriptor of this process, and never waits for it. */
export type LineWriter = {
  /** Takes the line, or drops it while nothing more can be kept. */
  write(line: string): void;
  /** How many lines were dropped so far. */
  dropped(): number;
  /** For the end of the process: tries to write what is kept, for so long at most, and blocks this thread meanwhile. */
  flush(patienceMs: number): void;
};

/** Bytes that are kept for a reader that does not read: some thousand lines. */
const maxKept = 1024 * 1024;
/** How often it is tried again. */
const againMs = 50;

/**
 * A pipe that nobody drains, a terminal that is stopped, a disk that is full: what cannot be written now is kept, in
 * order and bounded, and tried again. What is beyond the bound is dropped. Node's own streams keep all of it without
 * bound, or hold up the thread.
 * @param onRoom is told, once lines can be taken again, how many were dropped since it was told last.
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
      // One call for all, as long as it is not large.
      const next = Buffer.concat(kept.length > 64 ? kept.splice(0, 64) : kept.splice(0));
      const written = writeNow(own, next);
      bytes -= written;
      if (written === next.length) continue;
      kept.unshift(next.subarray(written));
      break;
    }
  };
  /** Writes what it can, and says what is lost once there is room for that. */
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
      // Once lines are lost, all are until that can be said: a log has one gap, not a hundred.
      if (bytes + chunk.length > maxKept || (told < dropped && bytes > maxKept / 2)) {
        dropped++;
        return;
      }
      kept.push(chunk);
      bytes += chunk.length;
      if (again === undefined) tryAgain();
    },
    dropped: () => dropped,
    flush(patienceMs) {
      const end = performance.now() + patienceMs;
      for (settle(); kept.length > 0 && performance.now() < end; settle()) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
      }
    },
  };
}

/**
 * The same file by a description of its own that does not block: the flag belongs to the description, which other
 * processes share. A socket cannot be opened anew, so that its own description gets the flag.
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

/** How many bytes were taken. A failure may pass: the reader may come back, and a disk have room again. */
function writeNow(fd: number, bytes: Buffer): number {
  try {
    return writeSync(fd, bytes);
  } catch (thrown) {
    if (errnoOf(thrown) === undefined) throw thrown;
    return 0;
  }
}
