import { opendirSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { posix } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  isReadOnly,
  type OpenDirectory,
  openBeneath,
  openDirectory,
  openIfThere,
  statDirectory,
} from '../linux/directory.ts';
import type { TargetState } from '../ports/mounter.ts';
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
        ? 'the target path cannot be / itself; give a directory below it'
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

/**
 * Reports what is at a target, without mountinfo, which takes milliseconds to read on a busy node. Of stacked mounts it
 * reports the topmost. A removed view is a directory without links. A filesystem other than the view's is first asked
 * in a thread, because its server may be gone or never answer.
 */
export async function inspect(handle: TargetHandle, view: string | undefined): Promise<TargetState> {
  using target = openTarget(handle);
  if (target === undefined) return { kind: 'absent' };
  const { isMountRoot, links, device } = statDirectory(target);
  if (!isMountRoot) {
    const entry = firstEntry(target);
    return entry === undefined ? { kind: 'empty' } : { kind: 'occupied', entry };
  }
  if (links === 0) return { kind: 'mounted', shows: 'dead', readOnly: isReadOnly(target) };
  if (view !== undefined && shows(target, view)) {
    return { kind: 'mounted', shows: 'view', readOnly: isReadOnly(target) };
  }
  const answer = await askServer(target, device);
  return {
    kind: 'mounted',
    shows: answer === 'gone' ? 'dead' : 'other',
    readOnly: answer === 'there' && isReadOnly(target), // asks in this thread
  };
}

/** Milliseconds that the server of a filesystem may take. */
const timeoutMs = 1_000;
/** By device. An unanswered call blocks one of Node's four threads, so each device has at most one. */
const asked = new Map<string, Promise<'there' | 'gone'>>();

async function askServer(target: OpenDirectory, device: string): Promise<'there' | 'gone' | 'silent'> {
  const answer = asked.get(device) ?? ask(target);
  asked.set(device, answer);
  const silence = setTimeout(timeoutMs, 'silent' as const, { ref: false });
  return Promise.race([answer.finally(() => asked.delete(device)), silence]);
}

async function ask(target: OpenDirectory): Promise<'there' | 'gone'> {
  using own = openDirectory(`/proc/self/fd/${target.fd}`);
  try {
    await statfs(`/proc/self/fd/${own.fd}`);
    return 'there';
  } catch (error) {
    if (errnoOf(error) === 'ENOTCONN') return 'gone';
    throw error;
  }
}

/** Returns a name in an open directory; undefined if it is empty. */
export function firstEntry(directory: OpenDirectory): string | undefined {
  using entries = opendirSync(`/proc/self/fd/${directory.fd}`);
  return entries.readSync()?.name;
}

function shows(target: OpenDirectory, view: string): boolean {
  using directory = openIfThere(view);
  if (directory === undefined) return false;
  const [shown, wanted] = [statDirectory(target), statDirectory(directory)];
  return shown.device === wanted.device && shown.inode === wanted.inode;
}
