import { type Algorithm, algorithmOf, type Digest, hexOf, isDigest } from '../../oci/digest.ts';
import type { Directory } from './directory.ts';

/** Files or directories named by digest: `<root>/<algorithm>/<hex>`. */
export type DigestDirectories = {
  path(digest: Digest): string;
  /** Returns the directory that contains the entry of a digest. */
  above(digest: Digest): Directory;
  list(): Promise<readonly Digest[]>;
};

export async function openDigestDirectories(
  root: string,
  directory: (name: string) => Promise<Directory>,
): Promise<DigestDirectories> {
  const directories: Readonly<Record<Algorithm, Directory>> = {
    sha256: await directory(`${root}/sha256`),
    sha512: await directory(`${root}/sha512`),
  };
  const above = (digest: Digest): Directory => directories[algorithmOf(digest)];
  return {
    above,
    path: digest => `${above(digest).path}/${hexOf(digest)}`,
    async list() {
      const digests: Digest[] = [];
      for (const [algorithm, directory] of Object.entries(directories)) {
        for (const hex of await directory.list()) {
          const digest = `${algorithm}:${hex}`;
          if (isDigest(digest)) digests.push(digest);
        }
      }
      return digests;
    },
  };
}
