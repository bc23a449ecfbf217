import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { ArtifactError } from '../../util/error.ts';

/** The paths of views: a tree of hard links, or a directory with one image; beside it its record and its shape. */
export type ViewPlaces = {
  tree(key: string): string;
  image(key: string): string;
  record(key: string): string;
  shape(key: string): string;
  /** Returns where a view is; undefined if there is none. */
  find(key: string): string | undefined;
};

const [imageEnd, recordEnd, shapeEnd] = ['.erofs', '.json', '.shape'];

export function openPlaces(directory: string): ViewPlaces {
  const tree = (key: string): string => join(directory, verifyKey(key));
  const image = (key: string): string => tree(key) + imageEnd;
  return {
    tree,
    image,
    record: key => tree(key) + recordEnd,
    shape: key => tree(key) + shapeEnd,
    find: key => [tree(key), image(key)].find(isDirectory),
  };
}

function isDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Whether it is the path of a directory with an image. */
export function isImagePath(path: string): boolean {
  return path.endsWith(imageEnd);
}

/** A key is a plain file name, distinct from any sidecar and path. */
function isKey(text: string): boolean {
  return /^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$/.test(text);
}

function verifyKey(key: string): string {
  if (isKey(key)) return key;
  throw new ArtifactError('internal', `"${key}" cannot be the key of a view`);
}

/** Returns the keys of the views among names, each once. */
export function keysOf(names: readonly string[]): readonly string[] {
  return [
    ...new Set(names.map(name => (name.endsWith(imageEnd) ? name.slice(0, -imageEnd.length) : name))),
  ].filter(isKey);
}

/** Returns the names that are neither views nor belong to one. */
export function strays(names: readonly string[]): readonly string[] {
  const own = new Set(keysOf(names).flatMap(key => [key, key + imageEnd, key + recordEnd, key + shapeEnd]));
  return names.filter(name => !own.has(name));
}
