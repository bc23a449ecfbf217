/** Milliseconds of synchronous work after which the event loop takes its turn. */
const slice = 5;
/** When the first of such work began in this turn of the event loop. */
let turnBegan: number | undefined;

/**
 * Keeps long synchronous work from blocking the event loop. Called after each small step; returns undefined while the
 * slice lasts, so that a step costs no promise, else a promise to await before the next step. Each turn of the loop goes
 * on with one piece of such work, however many there are: what is short waits for one slice of them, not for all. Those
 * that begin in one turn share their first slice.
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

/** Those who rest, in the order in which they go on. */
const resting: (() => void)[] = [];

/** Waits for a turn of the event loop in which no other work that waits here goes on. */
export function nextTurn(): Promise<void> {
  return new Promise(resolve => {
    if (resting.push(resolve) === 1) setImmediate(wakeOne);
  });
}

function wakeOne(): void {
  resting.shift()?.();
  if (resting.length > 0) setImmediate(wakeOne);
}

/** Does long work that yields after each small step, at that pace. @throws the signal's reason. */
export async function doInSlices<T>(work: Generator<void, T>, signal: AbortSignal): Promise<T> {
  const pace = startPace(signal);
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    const rest = pace();
    if (rest !== undefined) await rest;
  }
}

/** Does such work at once, which is for what is short. */
export function doAtOnce<T>(work: Generator<void, T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
