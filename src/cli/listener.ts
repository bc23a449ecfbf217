import { connect } from 'node:net';
import { ArtifactError, errnoOf, toArtifactError } from '../util/error.ts';

/** How long a daemon may take for its first bytes, ms. */
const timeoutMs = 10_000;

/**
 * Whether a daemon answers on a socket.
 *
 * @throws ArtifactError `denied` if this user may not connect; `unavailable` if the server sends nothing.
 */
export async function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket = connect({ path });
  // An HTTP/2 server sends first.
  socket.once('data', () => resolve(true)).once('end', () => resolve(false));
  socket.once('error', error => {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ECONNREFUSED' || errno === 'ENOTDIR') resolve(false);
    else reject(toRefusal(path, error));
  });
  socket.setTimeout(timeoutMs, () => {
    const why = `the daemon at unix://${path} does not answer; its log may say why`;
    reject(new ArtifactError('unavailable', why));
  });
  return promise.finally(() => socket.destroy());
}

function toRefusal(path: string, error: Error): ArtifactError {
  const errno = errnoOf(error);
  return errno === 'EACCES' || errno === 'EPERM'
    ? new ArtifactError('denied', `${path} is not for this user; run the command as root`, error)
    : new ArtifactError('unavailable', `${path}: ${toArtifactError(error).message}`, error);
}
