import { randomBytes } from 'node:crypto';
import { chmod, lstat, readdir, rename, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { recognize } from '../../util/same-file.ts';
import { verifySocketPath } from '../../util/socket-path.ts';

/** What to do about an existing socket at the path. */
export type Takeover =
  /** A server that answers keeps it. */
  | 'if-silent'
  /** The newest server takes it. */
  | 'always';

/** A bound socket in the filesystem. */
export type BoundSocket = {
  /** Removes the socket, unless another server has taken the path. */
  release(): Promise<void>;
  /** Why clients cannot reach it any more: the socket was removed, or another has taken the path. */
  problem(): string | undefined;
};

/** Sockets without their final name. */
const asidePrefix = '.oac-';

/**
 * Binds a server to a unix socket that only root can open. The socket is created under a hidden name and renamed, so
 * that it never appears with another mode or not yet listening. libuv removes the name that it bound when it closes, so
 * that name must not be one that a successor may have. The directory must exist.
 *
 * @throws ArtifactError `invalid` for an invalid path; `exists` while another server answers there.
 */
export async function bindSocket(server: Server, path: string, takeover: Takeover): Promise<BoundSocket> {
  // kubelet ignores names that begin with a dot.
  const aside = join(dirname(path), `${asidePrefix}${randomBytes(3).toString('hex')}`);
  verifySocketPath(path);
  verifySocketPath(aside);
  await verifyFree(path, takeover);
  await removeStale(dirname(path));
  await bind(server, aside);
  try {
    await chmod(aside, 0o600);
    const isOurs = recognize(aside);
    await rename(aside, path);
    return {
      release: async () => {
        if (isOurs(path)) await unlink(path).catch(absent);
      },
      problem: () => (isOurs(path) ? undefined : `the socket ${path} is gone; restart the daemon`),
    };
  } catch (error) {
    server.forceShutdown();
    throw error;
  }
}

async function verifyFree(path: string, takeover: Takeover): Promise<void> {
  const there = await lstat(path).catch(absent);
  if (there === undefined) return;
  if (!there.isSocket()) {
    throw new ArtifactError('exists', `${path} is not a socket; move it away, or choose another path`);
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
    else reject(error);
  });
  return promise.finally(() => probe.destroy());
}

async function bind(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), error => {
    if (error === null) resolve();
    else reject(new ArtifactError('internal', `cannot listen in ${dirname(path)}: ${error.message}`, error));
  });
  await promise;
}

function absent(error: unknown): undefined {
  if (errnoOf(error) === 'ENOENT') return undefined;
  throw error;
}
