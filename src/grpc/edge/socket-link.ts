import { lstatSync, readlinkSync, rmSync } from 'node:fs';
import { rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ArtifactError } from '../../util/error.ts';

/**
 * A symlink to a hidden socket beside it. A program that watches the directory for new names sees one only if the link
 * is made, not if the socket behind it is replaced.
 */
export type SocketLink = {
  /** Whether it leads to the socket. */
  isThere(): boolean;
  /** Makes it anew, in one step, in place of another link or a socket. @throws ArtifactError `invalid` for another file. */
  make(): Promise<void>;
  /** Removes it at once, if it leads to the socket. */
  remove(): void;
};

/** The path of the socket behind a link. kubelet ignores names that begin with a dot. */
export function hiddenSocket(link: string): string {
  return join(dirname(link), `.${basename(link)}`);
}

export function openSocketLink(path: string): SocketLink {
  const target = basename(hiddenSocket(path));
  const isThere = (): boolean => {
    const found = lstatSync(path, { throwIfNoEntry: false });
    return found?.isSymbolicLink() === true && readlinkSync(path) === target;
  };
  return {
    isThere,
    async make() {
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found !== undefined && !found.isSocket() && !found.isSymbolicLink())
        throw new ArtifactError('invalid', `${path} is not a socket; move it away, or choose another path`);
      const aside = `${hiddenSocket(path)}.new`;
      await rm(aside, { force: true }); // of a daemon that was killed
      await symlink(target, aside);
      await rename(aside, path);
    },
    remove() {
      if (isThere()) rmSync(path, { force: true });
    },
  };
}
