import { ArtifactError } from './error.ts';

/** The maximum bytes of sockaddr_un's path, without its NUL. */
const longest = 107;

/** @throws ArtifactError `invalid` above 107 bytes, the limit of Linux for bind and connect. */
export function verifySocketPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length <= longest) return;
  throw new ArtifactError(
    'invalid',
    `the path of the socket ${path} has ${length} bytes; Linux allows ${longest}: choose a shorter directory or name`,
  );
}
