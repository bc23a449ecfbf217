import type { KubeChange, KubeItem, KubeObjects, KubePage, KubePath } from '../../ports/kube-objects.ts';
import { fieldAt, isObject } from '../../util/json.ts';
import type { RequestTurn } from '../../util/request-pace.ts';
import { sleep } from '../../util/sleep.ts';
import { createChangeRate } from './change-rate.ts';
import { createKeptObjects, type KeptObjects, type ObjectKey } from './kept-objects.ts';
import { createPager } from './pager.ts';
import { createWorkLoop, type WorkLoop } from './work-loop.ts';

/** The objects of a kind, as the API has them. */
export type WatchedList<Item> = WorkLoop & {
  /** The present objects; undefined before the first list. */
  items(): readonly Item[] | undefined;
  /** Whether there may be objects that are not known, and not left out because their namespace has too many. */
  isPartial(): boolean;
};

/** A list is requested again this often, in case that a change was missed, ms. */
const resyncMs = 30 * 60_000;
/** How long a watch lasts at least, s. It lasts up to twice as long, so that the watches of all nodes end apart. */
const leastWatch = 300;
/** Objects of one request, and requests of one list, which ends before the API forgets its version. */
const [partLength, mostParts] = [128, 32];
/** How much of one namespace is followed, in objects and in bytes. */
const [share, shareBytes] = [64, 8 * 1024 * 1024];
/** Namespaces that are read apart, how many of them between two watches, and how often each, ms. */
const [mostApart, apartAtOnce, apartMs] = [64, 4, 300_000];
const mostNamed = 5;

/**
 * Lists the objects of a kind and follows their changes. A namespace that has too many objects, or too large ones, or
 * that changes them too often, does not hold up those of others: the API is asked for all but those of this namespace,
 * and then for as many of it as are followed, from time to time.
 *
 * @param parse throws for what is no such object. @param most objects of all namespaces that are followed.
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
  const resource = path.at(-1);
  const open = (): KeptObjects<Item> => createKeptObjects(most, share);
  const readAll = createPager(objects, turn, partLength);
  const rate = createChangeRate();
  /** The namespaces that are read apart, and when they were. */
  const apart = new Map<string, number>();
  let held: KeptObjects<Item> | undefined;
  let isWhole = true;
  /** From where to continue, and when all was listed last. */
  let version: string | undefined;
  let listedAt = 0;

  const put = (into: KeptObjects<Item>, object: unknown): void =>
    into.put(keyOf(object), () => parse(object));

  /** Takes objects in their order. Answers false for those that are more than the share of their namespace. */
  const openReading = (into: KeptObjects<Item>): ((item: KubeItem) => boolean) => {
    const read = new Map<string | undefined, { objects: number; bytes: number }>();
    return ({ object, bytes }) => {
      const { namespace } = keyOf(object);
      const sum = read.get(namespace) ?? { objects: 0, bytes: 0 };
      read.set(namespace, sum);
      sum.objects++;
      sum.bytes += bytes;
      const isShare = namespace === undefined || (sum.objects <= share && sum.bytes <= shareBytes);
      if (isShare) put(into, object);
      else into.leaveOut(namespace);
      return isShare;
    };
  };

  /** Answers whether the namespace is read apart from now on. */
  const setApart = (namespace: string | undefined, readAt: number): boolean => {
    if (namespace === undefined) return false;
    if (!apart.has(namespace) && apart.size < mostApart) apart.set(namespace, readAt);
    return apart.has(namespace);
  };

  /**
   * Lists all but the namespaces that are read apart, and answers one that is to be read so, too, since it hides those
   * after it.
   */
  const listOnce = async (
    into: KeptObjects<Item>,
    left: { parts: number },
    signal: AbortSignal,
  ): Promise<string | undefined> => {
    const without = [...apart.keys()];
    const read = openReading(into);
    let hiding: string | undefined;
    const take = ({ items, next }: KubePage): boolean => {
      const isShare = items.map(read).at(-1) ?? true;
      const { namespace = '' } = keyOf(items.at(-1)?.object);
      isWhole = next === undefined;
      if (!isWhole && !isShare && !without.includes(namespace) && setApart(namespace, performance.now()))
        hiding = namespace;
      return hiding === undefined && --left.parts > 0;
    };
    version = await readAll(path, take, signal, without);
    return hiding;
  };

  const list = async (signal: AbortSignal): Promise<void> => {
    const before = apart.size;
    const left = { parts: mostParts };
    /** The objects of the namespaces that are read apart. */
    const aside = open();
    for (const namespace of apart.keys()) if (held !== undefined) aside.adopt(namespace, held);
    let found = open();
    for (;;) {
      const hiding = await listOnce(found, left, signal);
      if (hiding === undefined) break;
      aside.adopt(hiding, found);
      found = open();
    }
    for (const namespace of apart.keys()) found.adopt(namespace, aside);
    held = found;
    // The next list gets further if it leaves out more.
    listedAt = isWhole || apart.size === before ? performance.now() : -Infinity;
  };

  /** Reads a namespace by itself. If it has no more than its share, it is read with the others again. */
  const readApart = async (
    into: KeptObjects<Item>,
    namespace: string,
    signal: AbortSignal,
  ): Promise<void> => {
    apart.set(namespace, performance.now());
    const found = open();
    const read = openReading(found);
    const take = ({ items }: KubePage): boolean => items.map(read).every(isShare => isShare);
    await readAll([...path.slice(0, -1), 'namespaces', namespace, ...path.slice(-1)], take, signal);
    into.adopt(namespace, found);
    if (!found.cut().has(namespace)) apart.delete(namespace);
  };

  const follow = (into: KeptObjects<Item>, { kind, object }: KubeChange): void => {
    version = versionOf(object);
    if (kind === 'put') put(into, object);
    if (kind !== 'gone') return;
    const key = keyOf(object);
    into.remove(key);
    if (into.cut().size === 0) return;
    // There may be room for another one.
    if (!into.cut().has(key.namespace) || !setApart(key.namespace, -Infinity)) listedAt = -Infinity;
  };

  const watch = async (
    into: KeptObjects<Item>,
    since: string,
    signal: AbortSignal,
    succeed: () => void,
  ): Promise<void> => {
    const seconds = Math.round(leastWatch * (1 + Math.random()));
    await turn(signal);
    const isCurrent = await objects.watch(
      path,
      { version: since, seconds, without: [...apart.keys()] },
      async change => {
        succeed();
        follow(into, change);
        const { namespace } = keyOf(change.object);
        if (!rate.count(namespace, change.bytes) && setApart(namespace, performance.now())) return false;
        const waitMs = rate.waitMs();
        if (waitMs > 0) await sleep(waitMs, signal);
        return true;
      },
      signal,
    );
    if (!isCurrent) version = undefined;
  };

  const excess = (): string | undefined => {
    if (held === undefined) return undefined;
    if (held.cut().has(undefined))
      return `there are too many ${resource}: a node follows ${most} of them, and leaves others out; delete some`;
    const names = [...new Set([...held.cut(), ...apart.keys()])].flatMap(name => name ?? []).toSorted();
    if (names.length > 0) {
      const more = names.length > mostNamed ? ` and ${names.length - mostNamed} others` : '';
      return `there are too many ${resource} of ${names.slice(0, mostNamed).join(', ')}${more}, or too large ones, or they change too often: a node follows ${share} of a namespace, and ${most} of all, and reads these namespaces from time to time only; delete some, or bound them by a ResourceQuota`;
    }
    return isWhole ? undefined : `there are more ${resource} than a node reads; delete some`;
  };
  let noted: string | undefined;
  const noteExcess = (): void => {
    const text = excess();
    if (text !== undefined && text !== noted) world.note(text);
    noted = text;
  };

  const loop = createWorkLoop(async (signal, succeed) => {
    if (version === undefined || performance.now() - listedAt > resyncMs * (0.8 + 0.4 * Math.random()))
      await list(signal);
    if (held === undefined || version === undefined) return 0;
    const due = [...apart]
      .filter(([, at]) => performance.now() - at >= apartMs)
      .toSorted((a, b) => a[1] - b[1]);
    for (const [namespace] of due.slice(0, apartAtOnce)) await readApart(held, namespace, signal);
    noteExcess();
    await watch(held, version, signal, succeed);
    return 0;
  }, world.note);

  return {
    run: signal => loop.run(signal),
    problem: () => loop.problem() ?? excess(),
    items: () => held?.items(),
    isPartial: () => held === undefined || !isWhole || held.cut().has(undefined),
  };
}

function metadataOf(object: unknown): Readonly<Record<string, unknown>> {
  const metadata = fieldAt(object, 'metadata');
  return isObject(metadata) ? metadata : {};
}

function keyOf(object: unknown): ObjectKey {
  const { namespace, name } = metadataOf(object);
  return { namespace: typeof namespace === 'string' ? namespace : undefined, name: String(name) };
}

function versionOf(object: unknown): string | undefined {
  const { resourceVersion } = metadataOf(object);
  return typeof resourceVersion === 'string' ? resourceVersion : undefined;
}
