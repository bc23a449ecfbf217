import { createFairSlots, type FairSlots } from '../../util/fair-slots.ts';

/** Bounds all registries together: each download takes a connection, a buffer and a file. */
const maxRegistries = 16;

export function openRegistrySlots(each: number): FairSlots {
  return createFairSlots({ total: maxRegistries * each, perRegistry: each });
}
