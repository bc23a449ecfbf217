import { chmodSync, closeSync } from 'node:fs';
import type { KoffiFunc } from 'koffi';
import { errnoOf } from '../util/error.ts';
import { check, inThread, libc } from './libc.ts';

/** Stream sockets by descriptor, for messages that Node cannot receive. None of these calls waits. */

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x8_0000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const POLLIN = 1;
const EFD_FLAGS = SOCK_CLOEXEC | SOCK_NONBLOCK;
const addressBytes = 110;
const backlog = 16;

const socket: KoffiFunc<(domain: number, type: number, protocol: number) => number> =
  libc.func('int socket(int, int, int)');
const bind: KoffiFunc<(fd: number, address: Buffer, length: number) => number> = libc.func(
  'int bind(int, const void *, uint)',
);
const listen: KoffiFunc<(fd: number, backlog: number) => number> = libc.func('int listen(int, int)');
const connect: typeof bind = libc.func('int connect(int, const void *, uint)');
const accept4: KoffiFunc<(fd: number, address: null, length: null, flags: number) => number> = libc.func(
  'int accept4(int, void *, void *, int)',
);
const getsockopt: KoffiFunc<
  (fd: number, level: number, name: number, value: Int32Array, length: Uint32Array) => number
> = libc.func('int getsockopt(int, int, int, void *, void *)');
const poll: KoffiFunc<(files: Buffer, count: number, milliseconds: number) => number> = libc.func(
  'int poll(void *, ulong, int)',
);
const eventfd: KoffiFunc<(value: number, flags: number) => number> = libc.func('int eventfd(uint, int)');

/** Listens at a path to which nothing is bound, for this user alone. @throws EADDRINUSE. */
export function listenAt(path: string): number {
  return open(path, fd => {
    check(bind(fd, toAddress(path), addressBytes), 'bind', path);
    chmodSync(path, 0o600); // nobody can connect before the next call
    check(listen(fd, backlog), 'listen', path);
  });
}

/** @throws ENOENT; ECONNREFUSED if nobody listens; EAGAIN if too many wait there. */
export function connectTo(path: string): number {
  return open(path, fd => void check(connect(fd, toAddress(path), addressBytes), 'connect', path));
}

/** The next connection. @throws EAGAIN if there is none. */
export function acceptFrom(listener: number): number {
  return check(accept4(listener, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK), 'accept4', listener);
}

/** The user at the other end, as the kernel knows it (SO_PEERCRED). */
export function peerUser(fd: number): number {
  const credentials = new Int32Array(3);
  const length = Uint32Array.of(credentials.byteLength);
  check(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length), 'getsockopt', fd);
  return credentials[1] ?? -1;
}

/**
 * Waits, in a thread, until some of these can be read or have ended, and at most so long. A signal may end it, too.
 *
 * @param milliseconds -1: without end.
 */
export async function untilReadable(
  fds: readonly number[],
  milliseconds: number,
): Promise<ReadonlySet<number>> {
  const entries = Buffer.alloc(fds.length * 8);
  for (const [nth, fd] of fds.entries()) {
    entries.writeInt32LE(fd, nth * 8);
    entries.writeInt16LE(POLLIN, nth * 8 + 4);
  }
  try {
    await inThread('poll', 'sockets', done => poll.async(entries, fds.length, milliseconds, done));
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EINTR') throw thrown;
  }
  return new Set(fds.filter((_, nth) => entries.readInt16LE(nth * 8 + 6) !== 0));
}

/** A descriptor that can be read once eight bytes were written to it (eventfd(2)). */
export function openEvent(): number {
  return check(eventfd(0, EFD_FLAGS), 'eventfd', 'eventfd');
}

function open(path: string, use: (fd: number) => void): number {
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket', path);
  try {
    use(fd);
    return fd;
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

/** @param path of at most 107 bytes. */
function toAddress(path: string): Buffer {
  const address = Buffer.alloc(addressBytes);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  return address;
}
