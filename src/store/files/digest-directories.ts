import { type Algorithm, algorithmOf, type Digest, hexOf, isDigest } from '../../oci/digest.ts';
import type { Folder } from './directory.ts';

/** Files or directories named by digest: `<root>/<algorithm>/<hex>`. */
export type DigestFolders = {
  path(digest: Digest): string;
  /** Returns the directory that contains the entry of a digest. */
  above(digest: Digest): Folder;
  list(): Promise<readonly Digest[]>;
};

export async function openDigestFolders(
  root: string,
  folder: (name: string) => Promise<Folder>,
): Promise<DigestFolders> {
  const folders: Readonly<Record<Algorithm, Folder>> = {
    sha256: await folder(`${root}/sha256`),
    sha512: await folder(`${root}/sha512`),
  };
  const above = (digest: Digest): Folder => folders[algorithmOf(digest)];
  return {
    above,
    path: digest => `${above(digest).path}/${hexOf(digest)}`,
    async list() {
      const digests: Digest[] = [];
      for (const [algorithm, folder] of Object.entries(folders)) {
        for (const hex of await folder.list()) {
          const digest = `${algorithm}:${hex}`;
          if (isDigest(digest)) digests.push(digest);
        }
      }
      return digests;
    },
  };
}
