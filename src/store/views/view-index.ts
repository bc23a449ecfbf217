import type { Item, ViewRecord } from '../../ports/store.ts';

/** The known views, by their keys and by their items. */
export type ViewIndex<View extends ViewRecord> = {
  get(key: string): View | undefined;
  set(view: View): void;
  delete(key: string): void;
  /** Returns the keys of the views that contain an item. */
  keysOf(item: Item): readonly string[];
};

export function createViewIndex<View extends ViewRecord>(): ViewIndex<View> {
  const views = new Map<string, View>();
  const users = new Map<string, Set<string>>();

  const drop = (key: string): void => {
    const view = views.get(key);
    if (view === undefined) return;
    views.delete(key);
    for (const item of itemsOf(view)) {
      const keys = users.get(nameOf(item));
      keys?.delete(key);
      if (keys?.size === 0) users.delete(nameOf(item));
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
      for (const item of itemsOf(view)) {
        const keys = users.get(nameOf(item));
        if (keys === undefined) users.set(nameOf(item), new Set([view.key]));
        else keys.add(view.key);
      }
    },
    delete: drop,
    keysOf: item => [...(users.get(nameOf(item)) ?? [])],
  };
}

/** The items whose files a view links to. */
export function itemsOf({ blobs, layers }: ViewRecord): readonly Item[] {
  return [
    ...blobs.map(digest => ({ kind: 'blobs', digest }) as const),
    ...layers.map(digest => ({ kind: 'layers', digest }) as const),
  ];
}

function nameOf({ kind, digest }: Item): string {
  return `${kind} ${digest}`;
}
