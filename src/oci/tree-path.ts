import { ArtifactError } from '../util/error.ts';
import { isName, nameLength, quoteName } from '../util/name.ts';

/** NAME_MAX and PATH_MAX of Linux, bytes. */
const maxPart = 255;
const maxPath = 4096;

/**
 * Splits a path inside a tree: a layer's name, or a path of a tar. An absolute path counts as relative; empty
 * components, `.` and a trailing slash are dropped, and `..` removes the component before it, so the root is `[]`. Such
 * a path is never used as a path of the host; the components are names in one tree.
 *
 * @param label names its layer in the error: `layer 2 ("model") of ghcr.io/acme/model:v1`.
 * @throws ArtifactError `unmountable` for `..` out of the root, NUL, what no file name can contain, a component over
 *   255 bytes, and a path over 4,096 bytes.
 */
export function parseTreePath(text: string, label: string): string[] {
  verifyPathLength(text, label); // first: the other checks take long for a text of 4 MiB
  if (text.includes('\0')) throw refusal(text, label, 'has a NUL byte, which no file name can hold');
  if (!isName(text)) throw refusal(text, label, 'is not Unicode text');
  const parts: string[] = [];
  for (const part of text.split('/')) {
    if (part === '' || part === '.') continue;
    if (byteLength(part) > maxPart) throw refusal(text, label, `has a part longer than ${maxPart} bytes`);
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) throw refusal(text, label, 'leads out of its root by ".."');
  }
  return parts;
}

/** A path inside a tree: its directory, and its name there, which the root does not have. */
export type TreePath = { readonly above: readonly string[]; readonly name: string | undefined };

/**
 * Returns a function that splits paths as `parseTreePath` does. Neighbors in a tar nearly always have the same
 * directory, which is parsed once: their `above` is one array.
 */
export function createPathSplitter(label: string): (text: string) => TreePath {
  let directory = '';
  let above: readonly string[] = [];
  return text => {
    const end = text.lastIndexOf('/') + 1;
    const name = text.slice(end);
    if (end !== directory.length || !text.startsWith(directory) || !isOrdinary(text, name)) {
      const parts = parseTreePath(text, label);
      const last = parts.pop();
      if (last !== name) return { above: parts, name: last };
      directory = text.slice(0, end);
      above = parts;
    }
    return { above, name };
  };
}

/** Whether a path is valid if its directory is; true for nearly all. */
function isOrdinary(path: string, name: string): boolean {
  if (3 * path.length > maxPath || 3 * name.length > maxPart) return false;
  return !['', '.', '..'].includes(name) && name.isWellFormed() && !name.includes('\0');
}

/** @throws ArtifactError `unmountable` for a path over 4,096 bytes. */
export function verifyPathLength(text: string, label: string): void {
  // Each unit of a JavaScript string has a byte at the least.
  if (text.length > maxPath || byteLength(text) > maxPath)
    throw refusal(text, label, `is longer than ${maxPath} bytes`);
}

/** As `parseTreePath`, for a file. @throws also for the root: an empty path, `.` or `/`. */
export function parseFilePath(text: string, label: string): string[] {
  const parts = parseTreePath(text, label);
  if (parts.length === 0) throw refusal(text, label, 'names the root itself, which can only be a directory');
  return parts;
}

function refusal(text: string, label: string, why: string): ArtifactError {
  return new ArtifactError(
    'unmountable',
    `${label}: the path ${quoteName(text)} ${why}; the artifact must be pushed again without it`,
  );
}

/** UTF-8 has at most three bytes for each unit of a JavaScript string, so only long ones need counting. */
function byteLength(text: string): number {
  return text.length * 3 <= maxPart ? text.length : nameLength(text);
}
