import { startWriteback } from '../../linux/libc.ts';

/**
 * Has files written to the disk while they grow. It waits where the disk is slower than what comes: in one of Node's
 * four threads, and of all files for one, since whatever else asks the disk needs the others.
 */
export type Writeback = {
  /** Undefined while another range is on its way. The descriptor must stay open until then; it is never rejected. */
  start(fd: number, offset: number, length: number): Promise<void> | undefined;
};

export function createWriteback(): Writeback {
  let busy = false;
  const begin = async (fd: number, offset: number, length: number): Promise<void> => {
    busy = true;
    try {
      await startWriteback(fd, offset, length);
    } catch {
      // What cannot be written fails the sync of who wants it on the disk.
    } finally {
      busy = false;
    }
  };
  return { start: (...range) => (busy ? undefined : begin(...range)) };
}
