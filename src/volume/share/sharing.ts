import type { Complete, NameRecord, Names } from '../../ports/records.ts';
import type { ShareRule, Sharing } from '../../ports/sharing.ts';
import { type Announcer, createAnnouncer } from './announcer.ts';
import { followNames } from './followed-names.ts';
import { createNameIndex } from './name-index.ts';
import { createSharedCache } from './shared-cache.ts';

/** The names for all use cases, so that each change is known, and what is shared once the use cases are there. */
export type SharingPlan<T> = {
  readonly names: T;
  open(world: Omit<Parameters<typeof createSharedCache>[0], 'index'>, closing: AbortSignal): Sharing;
};

const times = { restMs: 1_000, followedMs: 10_000 };

export async function planSharing<T extends Names & Complete<NameRecord>>(
  names: T,
  rule: ShareRule,
): Promise<SharingPlan<T>> {
  const index = createNameIndex();
  for (const record of await names.list()) index.set(record.reference, record);
  let announcer: Announcer | undefined;
  const followed = followNames(names, (reference, record) => {
    index.set(reference, record);
    announcer?.stir();
  });
  return {
    names: followed,
    open(world, closing) {
      const shared = createSharedCache({ ...world, index }, rule);
      const isUnsettled = (): boolean => index.digests().some(world.durability.isPending);
      announcer = createAnnouncer(shared, isUnsettled, times, closing);
      announcer.stir();
      return { ...shared, follow: announcer.follow };
    },
  };
}
