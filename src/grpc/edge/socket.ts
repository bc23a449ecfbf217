import { randomBytes } from 'node:crypto';
import { chmod, lstat, readdir, rename, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { ArtifactError, errnoOf } from '../../util/error.ts';
import { recognize } from '../../util/same-file.ts';
import { verifySocketPath } from '../../util/socket-path.ts';

/** What is at the path of a socket when a server wants it. */
export type Takeover =
  /** Another server that answers there keeps it. */
  | 'if-silent'
  /** The newest server has it. */
  | 'always';

/** The place of a socket in the file system. */
export type BoundSocket = {
  /** Removes the socket, unless another server has taken the path meanwhile. */
  release(): Promise<void>;
  /** Why nobody can come by it any more: the socket was removed, or another has taken the path. */
  problem(): string | undefined;
};

/** Of sockets that have no name yet. */
const asidePrefix = '.oac-';

/**
 * Binds a server to a unix socket that only root can open. The socket is made under a hidden name and renamed, so that
 * nobody ever sees it with another mode or not yet listening; and since libuv removes the name it bound when it
 * closes, that name must not be one that a successor may have. Its folder must be there.
 *
 * @throws ArtifactError `invalid` for a path that cannot be a socket, `exists` while another server answers there.
 */
export async function bindSocket(server: Server, path: string, takeover: Takeover): Promise<BoundSocket> {
  // kubelet passes over names that begin with a dot.
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

/** Takes away what a daemon left that was killed between making its socket and naming it. */
async function removeStale(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (!name.startsWith(asidePrefix) || (await answers(path))) continue;
    await unlink(path).catch(absent);
  }
}

/** Whether a server accepts connections. @throws the error of one that cannot be asked. */
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
