import { parseReference, type Reference, type Repository } from '../oci/reference.ts';
import type { NameRecord } from '../ports/records.ts';

export function isOfRepository(name: string, { registry, path }: Repository): boolean {
  const parsed = parseFull(name);
  return parsed?.registry === registry && parsed.path === path;
}

/** Whether a name is `repository@digest`, and one of the others a tag of that repository. */
export function isBesideTag(name: string, others: readonly Pick<NameRecord, 'reference'>[]): boolean {
  const parsed = parseFull(name);
  if (parsed?.digest === undefined) return false;
  return others.some(
    ({ reference }) => parseFull(reference)?.digest === undefined && isOfRepository(reference, parsed),
  );
}

function parseFull(name: string): Reference | undefined {
  const parsed = parseReference(name);
  return parsed.kind === 'full' ? parsed.reference : undefined;
}
