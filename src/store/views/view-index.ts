import type { Digest } from '../../oci/digest.ts';
import type { Item, ViewRecord } from '../../ports/store.ts';

/** The known views, by their keys and by their items. */
export type ViewIndex<View extends ViewRecord> = {
  get(key: string): View | undefined;
  set(view: View): void;
  delete(key: string): void;
  /** Returns the keys of the views that contain an item. */
  keysOf(item: Item): readonly string[];
};

const kinds = ['blobs', 'layers'] as const;

export function createViewIndex<View extends ViewRecord>(): ViewIndex<View> {
  const views = new Map<string, View>();
  const users = {
    blobs: new Map<Digest, Set<string>>(),
    layers: new Map<Digest, Set<string>>(),
  };

  const drop = (key: string): void => {
    const view = views.get(key);
    if (view === undefined) return;
    views.delete(key);
    for (const kind of kinds) {
      for (const digest of view[kind]) {
        const keys = users[kind].get(digest);
        keys?.delete(key);
        if (keys?.size === 0) users[kind].delete(digest);
      }
    }
  };

  return {
    get: key => views.get(key),
    set(view) {
      const before = views.get(view.key);
      const isSame = before?.blobs === view.blobs && before.layers === view.layers;
      if (!isSame) drop(view.key);
      views.set(view.key, view);
      if (isSame) return; // the usual case on use: there may be twenty thousand items
      for (const kind of kinds) {
        for (const digest of view[kind]) {
          const keys = users[kind].get(digest);
          if (keys === undefined) users[kind].set(digest, new Set([view.key]));
          else keys.add(view.key);
        }
      }
    },
    delete: drop,
    keysOf: ({ kind, digest }) => [...(users[kind].get(digest) ?? [])],
  };
}

/** The items whose files a view links to. */
export function itemsOf({ blobs, layers }: ViewRecord): readonly Item[] {
  return [
    ...blobs.map(digest => ({ kind: 'blobs', digest }) as const),
    ...layers.map(digest => ({ kind: 'layers', digest }) as const),
  ];
}
