import type { Digest } from '../../oci/digest.ts';
import type { SharedEvent, Sharing } from '../../ports/sharing.ts';
import { nextTurn } from '../../util/pace.ts';

/** Tells followers how what others may see changes. */
export type Announcer = Pick<Sharing, 'follow'> & {
  /** Something has changed: compares soon. */
  stir(): void;
};

export type AnnouncerTimes = {
  /** Between two comparisons, while something changes or is not durable yet. */
  readonly restMs: number;
  /** Between two comparisons while anybody follows: content of a known name can come later, or be put aside. */
  readonly followedMs: number;
};

/** Events between which followers get a turn to send theirs. */
const perTurn = 16;
/** The most of the time that comparisons may take is one part in so many. */
const share = 20;

/**
 * Compares what others may see with what it was. The comparison goes on without followers, so that one who begins to
 * follow and then lists misses nothing.
 *
 * @param isUnsettled whether something known may soon be seen without a change: its bytes are not durable yet.
 */
export function createAnnouncer(
  shared: Pick<Sharing, 'images' | 'contents'>,
  isUnsettled: () => boolean,
  { restMs, followedMs }: AnnouncerTimes,
  closing: AbortSignal,
): Announcer {
  const followers = new Set<(event: SharedEvent) => void>();
  let seen: Seen = { images: new Map(), contents: new Map() };
  let isStirred = false;
  let isComparing = false;
  let timer: NodeJS.Timeout | undefined;

  const compare = async (): Promise<void> => {
    const found = { images: new Map<string, Digest>(), contents: new Map<Digest, number>() };
    for await (const { digest, size } of shared.contents(closing)) found.contents.set(digest, size);
    for (const { reference, target } of await shared.images(closing))
      found.images.set(reference, target.digest);
    const changes = toChanges(seen, found);
    seen = found;
    const at = Date.now();
    for (const [nth, change] of changes.entries()) {
      for (const tell of followers) tell({ at, ...change });
      if (nth % perTurn === perTurn - 1) await nextTurn();
    }
  };

  const run = async (): Promise<void> => {
    isComparing = true;
    isStirred = false;
    const began = performance.now();
    // A record that cannot be read, or the end: the next comparison tells.
    await compare().catch(() => {});
    isComparing = false;
    const pauseMs = Math.max(restMs, (performance.now() - began) * share);
    if (isStirred || isUnsettled()) later(pauseMs);
    else if (followers.size > 0) later(Math.max(pauseMs, followedMs));
  };

  const later = (ms: number): void => {
    clearTimeout(timer);
    if (!closing.aborted) timer = setTimeout(() => void run(), ms).unref();
  };
  closing.addEventListener('abort', () => clearTimeout(timer));

  const stir = (): void => {
    if (isStirred) return;
    isStirred = true;
    if (!isComparing) later(restMs);
  };

  return {
    stir,
    follow(onEvent) {
      const own = (event: SharedEvent): void => onEvent(event);
      followers.add(own);
      stir();
      return { [Symbol.dispose]: () => void followers.delete(own) };
    },
  };
}

type Seen = {
  readonly images: ReadonlyMap<string, Digest>;
  readonly contents: ReadonlyMap<Digest, number>;
};
type Change<Event = SharedEvent> = Event extends SharedEvent ? Omit<Event, 'at'> : never;

/** Content comes before the images that need it, and goes after them. */
function toChanges(before: Seen, now: Seen): readonly Change[] {
  const changes: Change[] = [];
  for (const [digest, size] of now.contents)
    if (!before.contents.has(digest)) changes.push({ topic: '/content/create', digest, size });
  for (const [reference, digest] of now.images) {
    const known = before.images.get(reference);
    if (known === undefined) changes.push({ topic: '/images/create', reference });
    else if (known !== digest) changes.push({ topic: '/images/update', reference });
  }
  for (const reference of before.images.keys())
    if (!now.images.has(reference)) changes.push({ topic: '/images/delete', reference });
  for (const [digest, size] of before.contents)
    if (!now.contents.has(digest)) changes.push({ topic: '/content/delete', digest, size });
  return changes;
}
