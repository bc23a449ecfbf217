import { posix } from 'node:path';
import { type OpenDirectory, openBeneath } from '../linux/directory.ts';
import { ArtifactError, errnoOf, invalidValue } from '../util/error.ts';

/** A target as an open directory and one name in it, so that operations on it cannot be redirected. */
export type TargetHandle = Disposable & {
  readonly path: string;
  readonly parent: OpenDirectory;
  readonly name: string;
};

/** PATH_MAX without its NUL, and NAME_MAX of Linux. */
const longestPath = 4095;
const longestName = 255;

/**
 * Returns the part of a target path below the directory where its resolution starts. Lexical only.
 *
 * @param start the kubelet directory, or `/` for a target that may be anywhere.
 * @throws `invalid` for a path that is not absolute and clean, or not below `start`.
 */
export function parseBelow(path: string, start: string): string {
  if (!posix.isAbsolute(path) || posix.resolve(path) !== path || path.includes('\0')) {
    throw invalidValue(
      'target path',
      path,
      'must be absolute, without ".", "..", "//" and a slash at its end',
    );
  }
  const name = path.split('/').find(part => Buffer.byteLength(part) > longestName);
  if (name !== undefined || Buffer.byteLength(path) > longestPath) {
    throw invalidValue(
      'target path',
      path,
      `must have at most ${longestPath} bytes, and ${longestName} in each name; choose a shorter one`,
    );
  }
  const prefix = start === '/' ? start : `${start}/`;
  if (!path.startsWith(prefix) || path === prefix) {
    throw new ArtifactError(
      'invalid',
      start === '/'
        ? 'the target path cannot be / itself'
        : `target path ${path} is not below kubelet's directory ${start}; if kubelet uses another one, set --kubelet-dir`,
    );
  }
  return path.slice(prefix.length);
}

/**
 * Opens the directory that contains a target; undefined if there is none.
 *
 * @throws `invalid` as parseBelow does, and for a symlink in the path.
 */
export function openHandle(
  path: string,
  start: string,
  startDirectory: OpenDirectory,
): TargetHandle | undefined {
  const below = parseBelow(path, start);
  const parent = open(startDirectory, posix.dirname(below), posix.dirname(path));
  return (
    parent && { path, parent, name: posix.basename(below), [Symbol.dispose]: () => parent[Symbol.dispose]() }
  );
}

/**
 * Opens the target, or what is mounted on it; undefined if there is none.
 *
 * @throws `invalid` for a symlink or a file.
 */
export function openTarget(handle: TargetHandle): OpenDirectory | undefined {
  return open(handle.parent, handle.name, handle.path);
}

function open(from: OpenDirectory, path: string, whole: string): OpenDirectory | undefined {
  try {
    return openBeneath(from, path);
  } catch (error) {
    switch (errnoOf(error)) {
      case 'ENOENT':
        return undefined;
      case 'ELOOP':
        throw new ArtifactError(
          'invalid',
          `${whole} is a symlink or goes through one, and a mount follows none: give the real path, as realpath prints it`,
          error,
        );
      case 'ENOTDIR':
        throw new ArtifactError(
          'invalid',
          `${whole} is a file or goes through one, and must be a directory; give a directory, or a path that does not exist`,
          error,
        );
      case 'EACCES':
      case 'EPERM':
        throw new ArtifactError(
          'denied',
          `this process may not enter ${whole}; give a directory that root can enter`,
          error,
        );
      default:
        throw error;
    }
  }
}
