import type { Mounter } from '../../ports/mounter.ts';
import type { VolumeRecord, VolumeRecords } from '../../ports/records.ts';
import type { View, ViewRecord, Views } from '../../ports/store.ts';
import { never } from '../../util/abortable.ts';
import { doEach } from '../../util/each.ts';
import type { KeyedMutex } from '../../util/mutex.ts';
import { shownKey } from './shown.ts';

/** Takes damaged views out of use, without affecting running pods. */
export type Retirement = {
  /**
   * Takes views out of use. Answers the targets that show them; for them the trees stay, under keys that no request
   * has. The mounts are listed once, because there may be a thousand of each.
   */
  retire(damaged: readonly ViewRecord[], problem: string): Promise<readonly string[]>;
  /** The targets that show one of the views. */
  whoShows(damaged: readonly ViewRecord[]): Promise<readonly string[]>;
  /** Removes retired views that no mount shows any more. */
  tidy(): Promise<void>;
};

export function createRetirement(world: {
  readonly views: Views;
  readonly volumes: VolumeRecords;
  readonly mounter: Pick<Mounter, 'list'>;
  readonly viewsDirectory: string;
  /** Locks by view: a publish holds one while it mounts, and a retirement while it takes the view out of use. */
  readonly viewTurns: Pick<KeyedMutex, 'lock'>;
  /** Tells who owns a volume that it shows damaged content, once. */
  readonly tell: (volume: VolumeRecord, damage: string) => void;
}): Retirement {
  const { views, volumes, mounter, viewsDirectory, viewTurns, tell } = world;

  /** The targets by the key of the view that they show. */
  const listTargets = async (): Promise<(view: ViewRecord) => readonly string[]> => {
    const shown = Map.groupBy(await mounter.list(viewsDirectory), mount => shownKey(mount, viewsDirectory));
    return ({ key }) => (shown.get(key) ?? []).map(({ target }) => target);
  };

  const retireOne = async (view: ViewRecord, targets: readonly string[], damage: string): Promise<void> => {
    if (targets.length === 0) return views.remove(view.key);
    if (view.damage !== undefined) return;
    const key = `${view.key}-${Date.now().toString(36)}`;
    for (const target of targets) {
      const record = await volumes.find(target);
      if (record?.view !== view.key) continue;
      await volumes.put({ ...record, view: key });
      tell(record, damage);
    }
    await views.setAside(view.key, { ...toRecord(view), key, damage });
  };

  return {
    async whoShows(damaged) {
      return damaged.length === 0 ? [] : damaged.flatMap(await listTargets());
    },
    async retire(damaged, damage) {
      if (damaged.length === 0) return [];
      using turns = new DisposableStack();
      // In one order, so that two retirements never wait for each other.
      for (const key of damaged.map(view => view.key).toSorted()) turns.use(await viewTurns.lock(key, never));
      const targetsOf = await listTargets();
      for (const view of damaged) await retireOne(view, targetsOf(view), damage);
      return damaged.flatMap(targetsOf);
    },
    async tidy() {
      const retired = (await views.list()).filter(view => view.damage !== undefined);
      if (retired.length === 0) return;
      const targetsOf = await listTargets();
      const unshown = retired.filter(view => targetsOf(view).length === 0);
      await doEach(unshown, view => views.remove(view.key));
    },
  };
}

function toRecord(view: ViewRecord & Partial<View>): ViewRecord {
  const { path: _path, usedAt: _usedAt, image: _image, ...record } = view;
  return record;
}
