import { closeSync, lstatSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { ArtifactError, errnoOf } from '../util/error.ts';
import { quoteName } from '../util/name.ts';

type NewFile = { readonly path: string; readonly content: string | Uint8Array };

/** @throws ArtifactError `exists` if something has one of these names. */
export function verifyAbsent(paths: readonly string[]): void {
  const found = paths.find(path => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  if (found !== undefined) throw taken(found);
}

/** Writes files that are not there yet: all of them, or none. No symlink is followed. @throws as `verifyAbsent`. */
export function writeNewFiles(files: readonly NewFile[]): void {
  using undo = new DisposableStack();
  for (const { path, content } of files) {
    const fd = create(path);
    undo.defer(() => rmSync(path, { force: true }));
    try {
      writeFileSync(fd, content);
    } finally {
      closeSync(fd);
    }
  }
  undo.move();
}

function create(path: string): number {
  try {
    return openSync(path, 'wx');
  } catch (thrown) {
    throw errnoOf(thrown) === 'EEXIST' ? taken(path) : thrown;
  }
}

function taken(path: string): ArtifactError {
  return new ArtifactError('exists', `${quoteName(path)} exists; move it away, or remove it`);
}
