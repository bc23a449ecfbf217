import type { Mounter } from '../../ports/mounter.ts';
import type { VolumeRecords } from '../../ports/records.ts';
import type { View, ViewRecord, Views } from '../../ports/store.ts';
import type { KeyedMutex } from '../../util/mutex.ts';
import { findAllShowing, findShowing } from './shown.ts';

/** Takes damaged views out of use, without affecting running pods. */
export type Retirement = {
  /**
   * Takes a view out of use. Answers the targets that show it; for them the tree stays, under a key that no request
   * has.
   */
  retire(view: ViewRecord, problem: string): Promise<readonly string[]>;
  /** The targets that show the view. */
  whoShows(view: ViewRecord): Promise<readonly string[]>;
  /** Removes retired views that no mount shows any more. */
  tidy(): Promise<void>;
};

const never = new AbortController().signal;

export function createRetirement(world: {
  readonly views: Views;
  readonly volumes: VolumeRecords;
  readonly mounter: Pick<Mounter, 'list'>;
  readonly viewsFolder: string;
  /** Locks by view: a publish holds one while it mounts, and a retirement while it takes the view out of use. */
  readonly viewTurns: Pick<KeyedMutex, 'lock'>;
}): Retirement {
  const { views, volumes, mounter, viewsFolder, viewTurns } = world;

  const whoShows = async ({ key }: ViewRecord): Promise<readonly string[]> =>
    findAllShowing(await mounter.list(viewsFolder), `${viewsFolder}/${key}`).map(({ target }) => target);

  return {
    whoShows,
    async retire(view, damage) {
      using _turn = await viewTurns.lock(view.key, never);
      const targets = await whoShows(view);
      if (targets.length === 0) {
        await views.remove(view.key);
        return [];
      }
      if (view.damage !== undefined) return targets;
      const key = `${view.key}-${Date.now().toString(36)}`;
      for (const target of targets) {
        const record = await volumes.find(target);
        if (record?.view === view.key) await volumes.put({ ...record, view: key });
      }
      await views.setAside(view.key, { ...toRecord(view), key, damage });
      return targets;
    },
    async tidy() {
      const retired = (await views.list()).filter(view => view.damage !== undefined);
      if (retired.length === 0) return;
      const mounts = await mounter.list(viewsFolder);
      for (const { key, path } of retired) {
        if (findShowing(mounts, path) === undefined) await views.remove(key);
      }
    },
  };
}

function toRecord(view: ViewRecord & Partial<View>): ViewRecord {
  const { path: _path, usedAt: _usedAt, ...record } = view;
  return record;
}
