import { isDigest } from '../../oci/digest.ts';
import { formatReference } from '../../oci/reference.ts';
import type { PinRecord } from '../../ports/records.ts';
import type { Expander } from '../../ports/registry.ts';
import { isOfRepository } from '../repository-names.ts';

/**
 * Finds pins by what was pinned, because a name may resolve to another digest by now, or be gone. A reference finds its
 * own pin, a digest all pins with it, and a repository with a digest the pins of that repository with it. A short name
 * finds the first of its candidates that is pinned.
 */
export function findPins(text: string, pins: readonly PinRecord[], expander: Expander): readonly PinRecord[] {
  if (isDigest(text)) return pins.filter(pin => pin.digest === text);
  for (const reference of expander.expand(text)) {
    const full = formatReference(reference);
    const meant = pins.filter(
      pin =>
        pin.reference === full ||
        (pin.digest === reference.digest && isOfRepository(pin.reference, reference)),
    );
    if (meant.length > 0) return meant;
  }
  return [];
}
