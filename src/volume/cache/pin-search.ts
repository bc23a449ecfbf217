import { isDigest } from '../../oci/digest.ts';
import { formatReference } from '../../oci/reference.ts';
import { isOfRepository } from '../catalog.ts';
import type { PinRecord } from '../../ports/records.ts';
import type { Expander } from '../../ports/registry.ts';

/**
 * The pins that a text means, by what was pinned: a name may stand for another digest by now, or be gone. A reference means
 * its own pin, a digest all pins with it, and a repository with a digest the pins of that repository with it. Of several
 * references that a short one may stand for, the first that is pinned is meant.
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
