import type { Durability } from '../../ports/durability.ts';
import type { Meter } from '../../ports/meter.ts';
import type {
  Blobs,
  Damage,
  Evidence,
  Item,
  Layers,
  Look,
  View,
  ViewRecord,
  Views,
} from '../../ports/store.ts';
import { abortable } from '../../util/abortable.ts';
import { createKeyedMutex } from '../../util/mutex.ts';
import { startPace } from '../../util/pace.ts';
import { itemKey } from './items.ts';
import { followLosses } from './losses.ts';
import type { Retirement } from './retirement.ts';
import { formatShown } from './shown.ts';

/** Decides whether the bytes under a digest are right, and takes damaged content out of use. */
export type Integrity = {
  /**
   * Whether a view may be mounted as it is: none of its names and files have changed since it was built. Reads no
   * content, but the inode of each file: some 10 ms for 5,000 files.
   */
  isIntact(view: View, items: readonly Item[], signal: AbortSignal): Promise<boolean>;
  /**
   * Verifies items as far as a publish has time for: changed files are hashed again, and so are small ones whose
   * verification is old. Damaged items are removed from the cache.
   */
  examine(items: readonly Item[], signal: AbortSignal): Promise<void>;
  /** A view now uses these items: writes into them are noticed from now on. */
  settle(items: readonly Item[]): Promise<void>;
  /** A reader found wrong bytes in one of these items: they count as unverified now. */
  distrust(items: readonly Item[]): void;
  /** Takes a damaged view out of use. Answers the volumes that show it. */
  retire(view: ViewRecord, problem: string): Promise<readonly string[]>;
  /**
   * Verifies an item and records the result. `mend`: quarantines a damaged item. Also answers the volumes that show it.
   */
  inspect(item: Item, look: Look, mend: boolean, signal: AbortSignal): Promise<ShownDamage | undefined>;
};

export type ShownDamage = Damage & { readonly shownBy: readonly string[] };

/** Bytes of an item that is hashed before it is linked: some 50 ms of work. */
const small = 64 * 1024 * 1024;
/**
 * Files whose inodes are compared before a view is mounted, in slices that leave the event loop free: 0.4 s at most.
 * For larger views, directories are compared before the mount and files right after it.
 */
const atOnce = 100_000;

export function createIntegrity(
  world: {
    readonly blobs: Blobs;
    readonly layers: Layers;
    readonly views: Views;
    readonly evidence: Evidence;
    readonly durability: Pick<Durability, 'follow'>;
    readonly putAway: (item: Item) => Promise<void>;
    /** Whether damaged content may be taken out of use; otherwise it is only reported. */
    readonly mends: boolean;
    readonly retirement: Retirement;
    readonly meter: Pick<Meter, 'damageFound'>;
    /** Reads and hashes at the pace of a waiting caller. */
    readonly hash: Look;
    readonly warn: (text: string) => void;
    /** Receives items to verify when there is time. */
    readonly later: (item: Item) => void;
  },
  /** Milliseconds for which a verification counts; 0: as long as the files do not change. */
  interval: number,
  /** Ends hashing that continues without its callers. */
  closing: AbortSignal,
): Integrity {
  const { blobs, layers, views, evidence, retirement, meter, warn, later } = world;
  const locks = createKeyedMutex();
  const examining = new Map<string, Promise<void>>();
  /** How often an item was quarantined. */
  const taken = new Map<string, number>();
  const since = (): number => (interval === 0 ? 0 : Date.now() - interval);

  const isSmall = async ({ kind, digest }: Item): Promise<boolean> =>
    ((await (kind === 'blobs' ? blobs : layers).size(digest)) ?? 0) <= small;

  /** The views that have a damaged file. */
  const showing = async (item: Item, { inodes }: Damage): Promise<readonly View[]> => {
    const found: View[] = [];
    for (const view of await views.holding(item))
      if (await views.shows(view.key, inodes, closing)) found.push(view);
    return found;
  };

  const putAway = async (item: Item, damage: Damage): Promise<readonly string[]> => {
    const problem = `${nameOf(item)} ${damage.problem}`;
    for (const view of await views.holding(item)) views.distrust(view.key); // its files are no longer those of the cache
    const shownBy = await retirement.retire(await showing(item, damage), problem);
    await world.putAway(item);
    meter.damageFound(item.kind === 'blobs' ? 'blob' : 'layer');
    warn(`${problem}: it is put aside, and pulled again when it is needed${formatShown(shownBy)}`);
    return shownBy;
  };

  const whoShows = async (item: Item, damage: Damage): Promise<readonly string[]> =>
    retirement.whoShows(await showing(item, damage));

  const isThere = async ({ kind, digest }: Item): Promise<boolean> =>
    kind === 'blobs' ? (await blobs.size(digest)) !== undefined : layers.has(digest);

  /** Once an item that somebody removed is pulled again, its verification tells nothing of the files that views link. */
  const loseTrack = async (item: Item): Promise<void> => {
    evidence.forget(item);
    for (const view of await views.holding(item)) views.distrust(view.key);
  };

  /**
   * Several calls may verify an item at a time, so that a publish does not wait for a slow background verification.
   * Damage is handled by one call at a time, and once.
   */
  const inspect: Integrity['inspect'] = async (item, look, mend, signal) => {
    const key = itemKey(item);
    const { kind, digest } = item;
    const before = taken.get(key);
    const check = (): Promise<Damage | undefined> =>
      (kind === 'blobs' ? blobs : layers).check(digest, signal, look);
    const damage = await (look === 'inode' ? check() : evidence.verify(item, check, signal));
    if (damage === undefined) {
      if (!(await isThere(item))) await loseTrack(item);
      return undefined;
    }
    using _turn = await locks.lock(key, signal);
    if (taken.get(key) !== before) return undefined; // the verified files are not there any more
    if (damage.outdated === true) {
      const isReplaced = await layers.has(digest); // it was unpacked anew in the meantime
      if (mend && world.mends && !isReplaced) await layers.remove(digest);
      return undefined;
    }
    evidence.forget(item);
    const isPutAway = mend && world.mends;
    const shownBy = await (isPutAway ? putAway : whoShows)(item, damage);
    if (isPutAway) taken.set(key, (before ?? 0) + 1);
    return { ...damage, shownBy };
  };

  const examineOne = async (item: Item): Promise<void> => {
    const [state] = await evidence.states([item], since(), closing);
    if (state === 'absent' || state === 'verified') return;
    const isAtOnce = state === 'changed' || (await isSmall(item));
    if (isAtOnce) return void (await inspect(item, world.hash, true, closing));
    const damage = await inspect(item, 'inode', true, closing);
    if (damage !== undefined) return;
    if (state === 'unknown') await evidence.presume(item, closing);
    later(item);
  };

  /** Concurrent callers share a verification, which continues without them. */
  const share = (item: Item): Promise<void> => {
    const key = itemKey(item);
    const known = examining.get(key);
    if (known !== undefined) return known;
    const run = examineOne(item).finally(() => examining.delete(key));
    examining.set(key, run);
    run.catch(() => {}); // the callers get the error
    return run;
  };

  /** The states of all are compared at once, because most need nothing more. */
  const examine: Integrity['examine'] = async (items, signal) => {
    const states = await evidence.states(items, since(), signal);
    const doubtful = items.filter((_, at) => states[at] !== 'absent' && states[at] !== 'verified');
    for (const item of doubtful) await abortable(share(item), signal);
  };

  const isContentKept = async (items: readonly Item[], signal: AbortSignal): Promise<boolean> => {
    const states = await evidence.states(items, since(), signal);
    for (const [at, item] of items.entries()) {
      if (states[at] === 'stale') later(item);
      else if (states[at] !== 'verified') return false;
    }
    return true;
  };

  followLosses(world);

  return {
    inspect,
    async retire(view, problem) {
      const shownBy = await retirement.retire([view], problem);
      meter.damageFound('view');
      warn(`view ${view.key} of ${view.reference}: ${problem}: it is built anew${formatShown(shownBy)}`);
      return shownBy;
    },
    examine,
    settle: evidence.settle,
    async isIntact(view, items, signal) {
      if (view.damage !== undefined || !(await views.isAsBuilt(view.key, signal))) return false;
      let files = 0;
      const pace = startPace(signal);
      for (const item of items) {
        files += evidence.files(item);
        const rest = pace();
        if (rest !== undefined) await rest;
      }
      if (files <= atOnce) return isContentKept(items, signal);
      isContentKept(items, closing)
        .then(isKept => (isKept ? undefined : examine(items, closing)))
        .catch(() => {}); // the next publish verifies again
      return true;
    },
    distrust(items) {
      for (const item of items) evidence.forget(item);
    },
  };
}

function nameOf({ kind, digest }: Item): string {
  return `${kind === 'blobs' ? 'blob' : 'layer'} ${digest}:`;
}
