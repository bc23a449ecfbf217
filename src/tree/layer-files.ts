/** The names of files in the directory of an unpacked layer. */

/** The file name of a table of contents in the directory of its layer, beside the bodies. */
export const tocName = 'toc';

/**
 * The number of bodies in a directory: for each new name ext4 searches a block of names, which is short in a small
 * directory.
 */
export const bodiesPerDirectory = 128;

/** Returns the directory of a body in that of its layer. */
export function bodyDirectory(body: number): string {
  return String(Math.floor(body / bodiesPerDirectory));
}

/** Returns the path of a body in the directory of its layer. */
export function bodyName(body: number): string {
  return `${bodyDirectory(body)}/${body}`;
}
