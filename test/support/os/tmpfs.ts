import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

/**
 * A small filesystem for a test to fill: mounted on a directory that is created if needed, below a temporaryDirectory()
 * whose disposal unmounts it.
 *
 * @param options of tmpfs(5): `size=1m`, `nr_inodes=50`.
 */
export function mountTmpfs(path: string, options: string): string {
  mkdirSync(path, { recursive: true });
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`a tmpfs cannot be mounted at ${path}: ${stderr.trim()}`);
  return path;
}
