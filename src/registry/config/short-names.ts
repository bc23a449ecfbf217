import { type Part, valueOf } from '../../configfile/part.ts';
import {
  formatReference,
  type ParsedReference,
  parseReference,
  type Reference,
} from '../../oci/reference.ts';
import { ArtifactError } from '../../util/error.ts';
import type { Registries } from './registries.ts';
import { refusalOf } from './rule-match.ts';

/**
 * Returns the full references to try, in order. A full reference is returned as it is. A short name expands to its
 * alias, or else to one candidate per search registry; blocked candidates are skipped while others remain. Tag and
 * digest are kept. While the configuration is broken, a full reference is still returned: cached content stays
 * available, and the route decides whether it is blocked.
 *
 * @throws ArtifactError `invalid` for an invalid reference, for a short name that cannot be completed, and for one with
 *   several candidates if short-name-mode is enforcing (a daemon cannot prompt); `denied` if all candidates are
 *   blocked; `unavailable` for a short name while the configuration is broken.
 */
export function expand(configured: Part<Registries>, text: string): readonly Reference[] {
  const parsed = parseReference(text);
  if (parsed.kind === 'full' && configured.kind === 'broken') return [parsed.reference];
  const registries = valueOf(configured);
  const candidates = parsed.kind === 'full' ? [parsed.reference] : complete(registries, parsed);
  const refusals = candidates.map(candidate => refusalOf(registries, candidate));
  const open = candidates.filter((_, index) => refusals[index] === undefined);
  const refusal = refusals.find(refused => refused !== undefined);
  if (open.length === 0 && refusal !== undefined) throw refusal;
  return open;
}

function complete(
  registries: Registries,
  { kind: _, name, ...version }: ParsedReference & { readonly kind: 'short' },
): readonly Reference[] {
  const alias = registries.aliases.get(name)?.repository;
  if (alias !== undefined) return [{ ...alias, ...version }];
  const { search, mode } = registries;
  const candidates = search.registries.flatMap(registry => {
    const full = parseReference(formatReference({ registry, path: name, ...version }));
    return full.kind === 'full' ? [full.reference] : [];
  });
  if (candidates.length === 0) {
    throw new ArtifactError(
      'invalid',
      `"${name}" is a short name, and ${search.file} has neither an alias for it nor unqualified-search-registries; write registry/${name}`,
    );
  }
  if (mode.name === 'enforcing' && candidates.length > 1) {
    throw new ArtifactError(
      'invalid',
      `"${name}" is a short name of ${candidates.map(formatReference).join(' or ')}, and ${mode.file} has short-name-mode = "enforcing"; write one of them, or add an alias there`,
    );
  }
  return candidates;
}
