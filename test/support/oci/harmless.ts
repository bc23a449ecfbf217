import { closeSync, constants, lstatSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { getXattr } from '../../../src/linux/xattr.ts';

/** Lists what in a tree could give a process more privileges: `path: why`. A volume must have none of it. */
export function findHarmful(directory: string): string[] {
  return ['', ...readdirSync(directory, { recursive: true, encoding: 'utf8' })].flatMap(name => {
    const path = join(directory, name);
    return reasons(path).map(reason => `${name}: ${reason}`);
  });
}

function reasons(path: string): string[] {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return [];
  if (!stats.isFile() && !stats.isDirectory()) return ['neither a file, a directory nor a symlink'];
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const attributes = ['security.capability', 'security.ima', 'security.evm'];
  const found = attributes.filter(name => getXattr(fd, name) !== undefined);
  closeSync(fd);
  return (stats.mode & 0o6000) === 0 ? found : ['a setuid or setgid bit', ...found];
}
