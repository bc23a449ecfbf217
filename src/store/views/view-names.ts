import { ArtifactError } from '../../util/error.ts';

/** A key is a plain file name, distinct from any sidecar and path. */
export function isKey(text: string): boolean {
  return /^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$/.test(text);
}

export function verifyKey(key: string): string {
  if (isKey(key)) return key;
  throw new ArtifactError('internal', `"${key}" cannot be the key of a view`);
}

export function sidecarName(key: string): string {
  return `${verifyKey(key)}.json`;
}

export function shapeName(key: string): string {
  return `${verifyKey(key)}.shape`;
}

/** Returns the names that are neither trees nor belong to one. */
export function strays(names: readonly string[]): readonly string[] {
  const beside = new Set(names.filter(isKey).flatMap(key => [sidecarName(key), shapeName(key)]));
  return names.filter(name => !isKey(name) && !beside.has(name));
}
