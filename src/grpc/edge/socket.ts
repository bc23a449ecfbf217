import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync, statSync } from 'node:fs';
import { chmod, lstat, readdir, rename, unlink } from 'node:fs/promises';
import { connect, createServer, type Server as Listener, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { ArtifactError, errnoOf, toArtifactError } from '../../util/error.ts';
import { recognize } from '../../util/same-file.ts';
import { verifySocketPath } from '../../util/socket-path.ts';

/** What to do about an existing socket at the path. */
export type Takeover =
  /** A server that answers keeps it. */
  | 'if-silent'
  /** The newest server takes it. */
  | 'always';

/** A bound socket in the filesystem. Connections wait until a server serves them. */
export type BoundSocket = {
  /** Passes every connection to a server, those that wait first. */
  serve(server: Server): void;
  /** Keeps the path for a successor that will replace it: `release` no longer removes the socket. */
  leave(): void;
  /** Stops listening, and removes the socket, unless another server has taken the path. */
  release(): Promise<void>;
  /** Resolves when it was released and the last connection has ended. */
  readonly ended: Promise<void>;
  /** Why clients cannot reach it any more: the socket was removed, or another has taken the path. */
  problem(): string | undefined;
};

/** Sockets without their final name. */
const asidePrefix = '.oac-';

/** Connections that may wait for a server; kubelet opens one for each call. */
const maxWaiting = 1000;

/**
 * Binds a unix socket that only root can open. The socket is created under a hidden name and renamed, so that it never
 * appears with another mode or not yet listening, and replaces another one in one step. libuv removes the name that it
 * bound when it closes, so that name must not be one that a successor may have. Its directory must exist: one that is
 * made for a wrong path would stay on the node.
 *
 * @throws ArtifactError `invalid` for an invalid path, or for a path of something else; `exists` while another server
 *   answers there.
 */
export async function bindSocket(path: string, takeover: Takeover): Promise<BoundSocket> {
  // kubelet ignores names that begin with a dot.
  const aside = join(dirname(path), `${asidePrefix}${randomBytes(3).toString('hex')}`);
  verifySocketPath(path);
  verifySocketPath(aside);
  if (!isDirectory(dirname(path))) {
    throw new ArtifactError(
      'invalid',
      `there is no directory for the socket ${path}; create it, or correct --endpoint or --containerd-socket`,
    );
  }
  await verifyFree(path, takeover);
  await removeStale(dirname(path));
  const waiting = new Set<Socket>();
  let pass = (socket: Socket): void => wait(socket, waiting);
  // What a waiting connection has received meanwhile stays in its buffer, where the server of HTTP/2 finds it.
  const listener = createServer(socket => pass(socket));
  const ended = Promise.withResolvers<void>();
  listener.once('close', ended.resolve);
  await listen(listener, aside);
  try {
    await chmod(aside, 0o600);
    const isOurs = recognize(aside);
    await rename(aside, path);
    let keeps = false;
    let isReleased = false;
    return {
      serve(server) {
        const { injectConnection } = server.createConnectionInjector(ServerCredentials.createInsecure());
        pass = injectConnection;
        for (const socket of waiting) injectConnection(socket);
        waiting.clear();
      },
      leave() {
        keeps = true;
      },
      async release() {
        if (isReleased) return; // a successor's socket may have the same inode number by now
        isReleased = true;
        // At once: a removal in a thread may come late, and remove the socket of a successor.
        if (!keeps && isOurs(path)) rmSync(path, { force: true });
        listener.close();
        for (const socket of waiting) socket.destroy();
      },
      ended: ended.promise,
      problem: () => (isOurs(path) ? undefined : `the socket ${path} is gone; restart the daemon`),
    };
  } catch (error) {
    listener.close();
    throw error;
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

function wait(socket: Socket, waiting: Set<Socket>): void {
  if (waiting.size >= maxWaiting) {
    socket.destroy();
    return;
  }
  waiting.add(socket);
  socket.on('error', () => socket.destroy()).on('close', () => waiting.delete(socket));
}

async function verifyFree(path: string, takeover: Takeover): Promise<void> {
  const there = await lstat(path).catch(absent);
  if (there === undefined) return;
  if (!there.isSocket()) {
    throw new ArtifactError('invalid', `${path} is not a socket; move it away, or choose another path`);
  }
  if (takeover === 'if-silent' && (await answers(path))) {
    throw new ArtifactError('exists', `another server answers on ${path}; stop it, or choose another path`);
  }
}

/** Removes sockets of daemons that were killed before the rename. */
async function removeStale(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    if (!name.startsWith(asidePrefix) || (await answers(path))) continue;
    await unlink(path).catch(absent);
  }
}

/** Whether a server accepts connections. @throws other errors of the connection. */
function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const probe = connect(path);
  probe.once('connect', () => resolve(true));
  probe.once('error', error => {
    const errno = errnoOf(error);
    if (errno === 'ECONNREFUSED' || errno === 'ENOENT') resolve(false);
    // It listens, and accepts nothing: it is stopped, or hangs.
    else if (errno === 'EAGAIN') resolve(true);
    else reject(error);
  });
  return promise.finally(() => probe.destroy());
}

async function listen(listener: Listener, path: string): Promise<void> {
  try {
    listener.listen(path);
    await once(listener, 'listening');
  } catch (thrown) {
    const { message } = toArtifactError(thrown);
    throw new ArtifactError('internal', `cannot listen in ${dirname(path)}: ${message}`, thrown);
  }
}

function absent(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined;
  throw error;
}
