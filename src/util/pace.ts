import { never } from './abortable.ts';

/** The milliseconds of synchronous work after which the event loop gets its turn. */
const slice = 5;
/** When the first such work started in this turn of the event loop. */
let turnBegan: number | undefined;

/**
 * Keeps long synchronous work from blocking the event loop. It is called after each small step. It returns undefined
 * during the slice, so that a step costs no promise, else a promise to await before the next step. Each turn of the
 * loop continues one piece of such work, however many there are: short work waits for one slice, not for all. Pieces
 * that start in one turn share their first slice.
 *
 * @throws the signal's reason, from the promise.
 */
export type Pace = () => Promise<void> | undefined;

export function startPace(signal: AbortSignal): Pace {
  let since = beginInTurn();
  const rest = async (): Promise<void> => {
    await nextTurn();
    signal.throwIfAborted();
    since = performance.now();
  };
  return () => (performance.now() - since < slice ? undefined : rest());
}

function beginInTurn(): number {
  if (turnBegan === undefined) {
    turnBegan = performance.now();
    setImmediate(() => {
      turnBegan = undefined;
    });
  }
  return turnBegan;
}

/** The paused pieces, in the order in which they continue. */
const resting: (() => void)[] = [];

/** Waits for a turn of the event loop in which no other paused piece continues. */
export function nextTurn(): Promise<void> {
  return new Promise(resolve => {
    if (resting.push(resolve) === 1) setImmediate(wakeOne);
  });
}

function wakeOne(): void {
  resting.shift()?.();
  if (resting.length > 0) setImmediate(wakeOne);
}

/** Runs long work that yields after each small step, at that pace. @throws the signal's reason. */
export async function doInSlices<T>(work: Generator<void, T>, signal: AbortSignal): Promise<T> {
  const pace = startPace(signal);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    const rest = pace();
    if (rest !== undefined) await rest;
  }
}

/** Runs such work at once, for short work. */
export function doAtOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** Returns what takes items up in the order in which they come, at that pace: very many may come at once. */
export function takeInSlices<Item>(take: (item: Item) => void): (item: Item) => void {
  const items = new Set<{ readonly item: Item }>();
  const takeAll = async (): Promise<void> => {
    const pace = startPace(never);
    for (const one of items) {
      take(one.item);
      await pace(); // also what an item has only begun counts as work
      items.delete(one);
    }
  };
  return item => {
    items.add({ item });
    if (items.size === 1) void takeAll();
  };
}
