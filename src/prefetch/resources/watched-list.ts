import type { KubeObjects, KubePage, KubePath } from '../../ports/kube-objects.ts';
import { isObject } from '../../util/json.ts';
import type { RequestTurn } from '../../util/request-pace.ts';
import { createPager } from './pager.ts';
import { createWorkLoop, type WorkLoop } from './work-loop.ts';

/** The objects of a kind, as the API has them. */
export type WatchedList<Item> = WorkLoop & {
  /** The present objects; undefined before the first list. */
  items(): readonly Item[] | undefined;
  /** Whether objects of the API were left out, so that what is no item may exist. */
  isCut(): boolean;
};

/** The objects that are kept, by name. */
type Kept<Item> = {
  readonly items: Map<string, { readonly namespace: unknown; readonly item: Item }>;
  isCut: boolean;
};

/** A list is requested again this often, in case that a change was missed, ms. */
const resyncMs = 30 * 60_000;
/** How long a watch lasts at least, s. It lasts up to twice as long, so that the watches of all nodes end apart. */
const leastWatch = 300;
/** Objects of one request, and requests of one list, which ends before the API forgets its version. */
const [partLength, mostParts] = [64, 32];

/**
 * Lists the objects of a kind and follows their changes.
 *
 * @param parse throws for what is no such object. @param most objects that are kept, and at most a
 * quarter of them of one namespace; others are left out.
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
  const share = Math.ceil(most / 4);
  let held: Kept<Item> | undefined;
  /** From where to continue, and when all was listed last. */
  let version: string | undefined;
  let listedAt = 0;
  const readAll = createPager(objects, turn, partLength);

  const hasRoom = ({ items }: Kept<Item>, namespace: unknown): boolean => {
    if (items.size >= most) return false;
    const isOfIt = (one: { readonly namespace: unknown }): boolean => one.namespace === namespace;
    return namespace === undefined || [...items.values()].filter(isOfIt).length < share;
  };

  const put = (into: Kept<Item>, object: unknown): void => {
    const key = keyOf(object);
    const { namespace } = metadataOf(object);
    if (into.items.has(key) || hasRoom(into, namespace))
      into.items.set(key, { namespace, item: parse(object) });
    else into.isCut = true;
  };

  const list = async (signal: AbortSignal): Promise<void> => {
    const found: Kept<Item> = { items: new Map(), isCut: false };
    let parts = 0;
    const take = ({ items, next }: KubePage): boolean => {
      for (const object of items) put(found, object);
      const isWanted = ++parts < mostParts && found.items.size < most;
      if (!isWanted && next !== undefined) found.isCut = true;
      return isWanted;
    };
    version = await readAll(path, take, signal);
    held = found;
    listedAt = performance.now();
  };

  const watch = async (since: string, signal: AbortSignal, succeed: () => void): Promise<void> => {
    const into = held ?? { items: new Map(), isCut: false };
    const seconds = Math.round(leastWatch * (1 + Math.random()));
    await turn(signal);
    const isCurrent = await objects.watch(
      path,
      { version: since, seconds },
      ({ kind, object }) => {
        succeed();
        if (kind === 'put') put(into, object);
        if (kind === 'gone') into.items.delete(keyOf(object));
        if (kind === 'gone' && into.isCut) listedAt = -Infinity; // there may be room for another one
        version = versionOf(object);
      },
      signal,
    );
    if (!isCurrent) version = undefined;
  };

  const loop = createWorkLoop(async (signal, succeed) => {
    if (version === undefined || performance.now() - listedAt > resyncMs * (0.8 + 0.4 * Math.random()))
      await list(signal);
    if (version !== undefined) await watch(version, signal, succeed);
    return 0;
  }, world.note);
  const isCut = (): boolean => held?.isCut === true;
  return {
    run: signal => loop.run(signal),
    problem: () =>
      loop.problem() ??
      (isCut()
        ? `there are too many ${path.at(-1)}: a node follows ${most} of them, and ${share} of one namespace, and leaves others out; delete some, or bound them by a ResourceQuota`
        : undefined),
    items: () => held && [...held.items.values()].map(({ item }) => item),
    isCut,
  };
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
