import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { isFullDisk } from '../util/error.ts';
import { readIfThere } from './files/absent.ts';
import { writeAside } from './files/atomic-file.ts';
import type { Directory } from './files/directory.ts';
import type { Scratch } from './files/scratch.ts';

/** Returns random bytes of this node, in hex, created once: hashes made with them mean nothing elsewhere. */
export async function openSalt(root: Directory, scratch: Scratch): Promise<string> {
  const path = join(root.path, 'salt');
  const known = readIfThere(path);
  if (known !== undefined && /^[0-9a-f]{64}$/.test(known)) return known;
  const salt = randomBytes(32).toString('hex');
  if (scratch.isClosed) return salt;
  try {
    await writeAside(scratch.fresh(), path, salt, true);
    await root.sync();
  } catch (thrown) {
    if (!isFullDisk(thrown)) throw thrown; // what is hashed with it counts for this process
  }
  return salt;
}
