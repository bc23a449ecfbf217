import type { KubeObjects, KubePath } from '../../ports/kube-objects.ts';
import { isObject } from '../../util/json.ts';
import type { RequestTurn } from '../../util/request-pace.ts';
import { createPager } from './pager.ts';
import { createWorkLoop, type WorkLoop } from './work-loop.ts';

/** The objects of a kind, as the API has them. */
export type WatchedList<Item> = WorkLoop & {
  /** The present objects; undefined before the first list. */
  items(): readonly Item[] | undefined;
};

/** A list is requested again this often, in case that a change was missed, ms. */
const resyncMs = 30 * 60_000;
/** How long a watch lasts at least, s. It lasts up to twice as long, so that the watches of all nodes end apart. */
const leastWatch = 300;

/**
 * Lists the objects of a kind and follows their changes.
 *
 * @param parse throws for what is no such object. @param most objects that are kept; others are left out.
 */
export function createWatchedList<Item>(
  world: {
    readonly objects: Pick<KubeObjects, 'page' | 'watch'>;
    readonly turn: RequestTurn;
    readonly note: (problem: string) => void;
  },
  path: KubePath,
  parse: (object: unknown) => Item,
  most: number,
): WatchedList<Item> {
  const { objects, turn } = world;
  let held: Map<string, Item> | undefined;
  /** From where to continue, and when all was listed last. */
  let version: string | undefined;
  let listedAt = 0;
  const readAll = createPager(objects, turn, 64);

  const put = (into: Map<string, Item>, object: unknown): void => {
    const key = keyOf(object);
    if (into.has(key) || into.size < most) into.set(key, parse(object));
  };

  const list = async (signal: AbortSignal): Promise<void> => {
    const found = new Map<string, Item>();
    version = await readAll(path, object => put(found, object), signal);
    held = found;
    listedAt = performance.now();
  };

  const watch = async (since: string, signal: AbortSignal): Promise<void> => {
    const into = held ?? new Map<string, Item>();
    const seconds = Math.round(leastWatch * (1 + Math.random()));
    await turn(signal);
    const isCurrent = await objects.watch(
      path,
      { version: since, seconds },
      ({ kind, object }) => {
        if (kind === 'put') put(into, object);
        if (kind === 'gone') into.delete(keyOf(object));
        version = versionOf(object);
      },
      signal,
    );
    if (!isCurrent) version = undefined;
  };

  const loop = createWorkLoop(async signal => {
    if (version === undefined || performance.now() - listedAt > resyncMs * (0.8 + 0.4 * Math.random()))
      await list(signal);
    if (version !== undefined) await watch(version, signal);
    return 0;
  }, world.note);
  return { ...loop, items: () => held && [...held.values()] };
}

function metadataOf(object: unknown): Readonly<Record<string, unknown>> {
  const metadata = isObject(object) ? object['metadata'] : undefined;
  return isObject(metadata) ? metadata : {};
}

function keyOf(object: unknown): string {
  const { namespace, name } = metadataOf(object);
  return JSON.stringify([namespace, name]);
}

function versionOf(object: unknown): string | undefined {
  const { resourceVersion } = metadataOf(object);
  return typeof resourceVersion === 'string' ? resourceVersion : undefined;
}
