import { ArtifactError } from './error.ts';

/** sockaddr_un's path, without its NUL. */
const longest = 107;

/** @throws ArtifactError `invalid` above 107 bytes: what Linux can bind, and connect to. */
export function verifySocketPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length <= longest) return;
  throw new ArtifactError(
    'invalid',
    `the path of the socket ${path} has ${length} bytes; Linux allows ${longest}: choose a shorter directory or name`,
  );
}
