import type { Evidence, Item, VerificationState } from '../../ports/store.ts';
import { never } from '../../util/abortable.ts';
import { doInSlices, startPace } from '../../util/pace.ts';
import type { Journal } from '../files/journal.ts';
import { openStamper, type Stamp, type Stamper, stampFiles } from './stamp.ts';

/**
 * The evidence that the bytes under a digest are right: when they were last verified, and the stamp of their files at
 * that time. A write to a file changes its ctime, so a write through the mount of a view shows at the next check. Decay
 * on the disk does not show here; the scrub finds it by hashing again.
 */
export type EvidenceStore = AsyncDisposable &
  Evidence & {
    /** Records that the bytes were verified as they arrived, before anyone could write to the files. */
    arrived(item: Item): void;
    /** Runs a function that adds or removes links of the files, and so changes their ctime. */
    relink<T>(items: readonly Item[], work: () => Promise<T>): Promise<T>;
    /** While relinking: a file of the item was replaced by a copy of it. */
    copied(item: Item): void;
  };

type Note = { readonly at: number; readonly files: number; readonly stamp: Stamp | undefined };
/** The state while links are made or removed. `good`: the stamp was right before; `kept` must not change meanwhile. */
type Relinking = { users: number; readonly good: boolean; kept: string | undefined };

/** Returns the paths of an item's files and their number; undefined if the item is not cached. */
export type FilesOf = (
  item: Item,
) =>
  | { readonly count: number; readonly files: Iterable<readonly [directory: string, name: string]> }
  | undefined;

export function openEvidence(
  journal: Journal,
  filesOf: FilesOf,
  now: () => number = Date.now,
): EvidenceStore {
  const notes = new Map([...journal.lines].flatMap(([key, text]) => parseNote(key, text, now())));
  if (!journal.closed) {
    // The previous process did not end cleanly, so the last minutes may not be on the disk.
    for (const [key, note] of notes) notes.set(key, { ...note, at: 0 });
    for (const [key, note] of notes) journal.put(key, formatNote(note));
  }
  const relinking = new Map<string, Relinking>();
  /** Counts the starts and ends of relinking: a stamp taken across one of them is outdated. */
  let turns = 0;

  const note = (item: Item, at: number, files: number, stamp: Stamp | undefined): void => {
    notes.set(keyOf(item), { at, files, stamp });
    if (stamp !== undefined) journal.put(keyOf(item), formatNote({ at, files, stamp }));
  };
  const forget = (item: Item): void => {
    if (notes.delete(keyOf(item))) journal.put(keyOf(item), '');
  };

  /** Whether a stamp taken since `turn` equals the recorded one. */
  const isAsNoted = (item: Item, noted: Stamp, found: Stamp, turn: number): boolean => {
    if (found.kept !== noted.kept) return false;
    const underWay = relinking.get(keyOf(item));
    return found.changed === noted.changed || underWay?.good === true || turn !== turns;
  };

  function* compare(item: Item, since: number, stamper: Stamper): Generator<void, VerificationState> {
    const turn = turns;
    const known = notes.get(keyOf(item));
    const files = filesOf(item);
    const stamp = files && (yield* stamper.stamp(files.files));
    // A layer exists by its table, even if bodies are missing.
    const isThere = stamp !== undefined || (item.kind === 'layers' && files !== undefined);
    if (!isThere && known === undefined) return 'absent';
    if (stamp === undefined) return 'changed';
    if (known === undefined) return 'unknown';
    if (known.stamp === undefined) note(item, known.at, files?.count ?? 0, stamp);
    else if (!isAsNoted(item, known.stamp, stamp, turn)) return 'changed';
    return known.at >= since && known.at > 0 ? 'verified' : 'stale';
  }

  function* compareAll(
    items: readonly Item[],
    since: number,
    stamper: Stamper,
  ): Generator<void, readonly VerificationState[]> {
    const states: VerificationState[] = [];
    for (const item of items) {
      states.push(yield* compare(item, since, stamper));
      yield;
    }
    return states;
  }

  /** Records the present stamp of the files. @returns whether the files exist. */
  const stampNow = async (item: Item, at: number, signal: AbortSignal): Promise<void> => {
    const files = filesOf(item);
    const stamp = files && (await stampFiles(files.files, signal));
    if (files === undefined || stamp === undefined) forget(item);
    else note(item, at, files.count, stamp);
  };

  function* enter(item: Item, stamper: Stamper): Generator<void, void> {
    const key = keyOf(item);
    turns++;
    const other = relinking.get(key);
    if (other !== undefined) return void other.users++;
    const known = notes.get(key);
    const files = known?.stamp && filesOf(item);
    const found = files && (yield* stamper.stamp(files.files));
    const late = relinking.get(key); // another caller came in the meantime
    if (late !== undefined) return void late.users++;
    const good =
      known !== undefined &&
      (known.stamp === undefined ||
        (found?.kept === known.stamp.kept && found.changed === known.stamp.changed));
    relinking.set(key, { users: 1, good, kept: known?.stamp?.kept });
  }

  function* leave(item: Item, stamper: Stamper): Generator<void, void> {
    const key = keyOf(item);
    const entered = relinking.get(key);
    turns++;
    if (entered === undefined || --entered.users > 0) return;
    const known = notes.get(key);
    if (entered.good && known !== undefined) {
      const files = filesOf(item);
      const found = files && (yield* stamper.stamp(files.files));
      if (entered.users > 0) return; // the last one to leave does it
      // A write changes more than the ctime.
      const isKept = entered.kept === undefined || entered.kept === found?.kept;
      if (files !== undefined && found !== undefined && isKept && notes.get(key) === known)
        note(item, known.at, files.count, found);
    }
    relinking.delete(key);
    turns++;
  }

  return {
    async states(items, since, signal) {
      using stamper = openStamper();
      return await doInSlices(compareAll(items, since, stamper), signal);
    },
    verifiedAt: item => notes.get(keyOf(item))?.at ?? 0,
    files: item => notes.get(keyOf(item))?.files ?? 0,
    arrived: item => note(item, now(), 0, undefined),
    settle: items =>
      forEach(items, async item => {
        const known = notes.get(keyOf(item));
        if (known !== undefined && known.stamp === undefined) await stampNow(item, known.at, never);
      }),
    presume: (item, signal) => stampNow(item, 0, signal),
    forget,

    async verify(item, check, signal) {
      const turn = turns;
      const files = filesOf(item);
      const before = files && (await stampFiles(files.files, signal));
      const problem = await check();
      if (problem !== undefined || files === undefined || before === undefined) return problem;
      const after = await stampFiles(files.files, signal);
      const isQuiet = after?.changed === before.changed || turn !== turns || relinking.has(keyOf(item));
      if (after?.kept === before.kept && isQuiet) note(item, now(), files.count, after);
      return undefined;
    },

    async relink(items, work) {
      await stampEach(items, enter);
      try {
        return await work();
      } finally {
        await stampEach(items, leave);
      }
    },
    copied(item) {
      const entered = relinking.get(keyOf(item));
      if (entered !== undefined) entered.kept = undefined;
    },

    async [Symbol.asyncDispose]() {
      await journal.close();
    },
  };
}

/** In slices: there may be twenty thousand. */
async function stampEach(
  items: readonly Item[],
  step: (item: Item, stamper: Stamper) => Generator<void, void>,
): Promise<void> {
  function* all(stamper: Stamper): Generator<void, void> {
    for (const item of items) {
      yield* step(item, stamper);
      yield;
    }
  }
  using stamper = openStamper();
  await doInSlices(all(stamper), never);
}

async function forEach(items: readonly Item[], step: (item: Item) => Promise<void>): Promise<void> {
  const pace = startPace(never);
  for (const item of items) {
    await step(item);
    const rest = pace();
    if (rest !== undefined) await rest;
  }
}

function keyOf({ kind, digest }: Item): string {
  return `${kind}/${digest}`;
}

function formatNote({ at, files, stamp }: Note): string {
  return `${at} ${files} ${stamp?.kept} ${stamp?.changed}`;
}

/** A time in the future comes from a clock that was wrong. */
function parseNote(key: string, text: string, now: number): [string, Note][] {
  const fields = /^(\d{1,15}) (\d{1,9}) ([0-9a-f]{40,80}) ([0-9a-f]{24,40})$/.exec(text);
  const [, at = '', files = '', kept = '', changed = ''] = fields ?? [];
  if (fields === null) return [];
  const verifiedAt = Number(at) > now ? 0 : Number(at);
  return [[key, { at: verifiedAt, files: Number(files), stamp: { kept, changed } }]];
}
