import { startWriteback } from '../../linux/io.ts';

/**
 * Starts writing growing files to the disk. It blocks if the disk is slower than the download. It uses one of Node's
 * four threads, and serves one file at a time, because other disk access needs the other threads.
 */
export type Writeback = {
  /**
   * Returns undefined while another range is being written. The descriptor must stay open until the promise resolves.
   * It never rejects.
   */
  start(fd: number, offset: number, length: number): Promise<void> | undefined;
};

export function createWriteback(): Writeback {
  let busy = false;
  const begin = async (fd: number, offset: number, length: number): Promise<void> => {
    busy = true;
    try {
      await startWriteback(fd, offset, length);
    } catch {
      // A failed write makes the later sync fail.
    } finally {
      busy = false;
    }
  };
  return { start: (...range) => (busy ? undefined : begin(...range)) };
}
