/** Time that passes from event to event, in seconds. */
export type EventClock = {
  readonly now: () => number;
  /** Calls back at a time that has not passed. */
  readonly at: (time: number, act: () => void) => void;
  /** Passes until nothing is left to happen. */
  readonly run: () => void;
};

export function openEventClock(): EventClock {
  /** A binary heap; the earliest is the first. Of events at one time, the one that was given first. */
  const events: { readonly time: number; readonly nth: number; readonly act: () => void }[] = [];
  let now = 0;
  let given = 0;
  const isBefore = (one: number, other: number): boolean => {
    const [a, b] = [events[one], events[other]];
    if (a === undefined || b === undefined) return a !== undefined;
    return a.time < b.time || (a.time === b.time && a.nth < b.nth);
  };
  const swap = (one: number, other: number): void => {
    const [a, b] = [events[one], events[other]];
    if (a !== undefined && b !== undefined) [events[one], events[other]] = [b, a];
  };
  return {
    now: () => now,
    at(time, act) {
      let at = events.push({ time, nth: given++, act }) - 1;
      for (let above = (at - 1) >> 1; at > 0 && isBefore(at, above); above = (at - 1) >> 1) {
        swap(at, above);
        at = above;
      }
    },
    run() {
      for (let first = events[0]; first !== undefined; first = events[0]) {
        const last = events.pop();
        if (last !== undefined && events.length > 0) events[0] = last;
        for (let at = 0; ; ) {
          const [left, right] = [2 * at + 1, 2 * at + 2];
          const least = isBefore(right, left) ? right : left;
          if (!isBefore(least, at)) break;
          swap(at, least);
          at = least;
        }
        now = first.time;
        first.act();
      }
    },
  };
}

/** A server whose streams share its bytes per second evenly, each with at most `perStream`. */
export type FluidSource = {
  /** Sends one part, and calls back at its end. */
  readonly send: (done: () => void) => void;
  readonly streams: () => number;
  /** The parts that it sent. */
  readonly sent: () => number;
};

/** All parts have one size, so streams end in the order of their start. */
export function openFluidSource(
  clock: EventClock,
  partBytes: number,
  bytesPerSecond: number,
  perStream: number,
): FluidSource {
  /** What each stream that lasts since the beginning has got. */
  let progress = 0;
  let since = 0;
  let sent = 0;
  let changes = 0;
  const open: { readonly end: number; readonly done: () => void }[] = [];
  const rate = (): number => Math.min(bytesPerSecond / open.length, perStream);

  const pass = (): void => {
    if (open.length > 0) progress += (clock.now() - since) * rate();
    since = clock.now();
  };
  const plan = (): void => {
    const change = ++changes;
    const [first] = open;
    if (first === undefined) return;
    clock.at(clock.now() + Math.max(0, first.end - progress) / rate(), () => {
      if (change === changes) end(first.end);
    });
  };
  const end = (reached: number): void => {
    pass();
    progress = reached;
    const ended: (() => void)[] = [];
    while (open[0] !== undefined && open[0].end <= reached) ended.push(open.shift()?.done ?? (() => {}));
    sent += ended.length;
    plan();
    for (const done of ended) done();
  };
  return {
    send(done) {
      pass();
      open.push({ end: progress + partBytes, done });
      plan();
    },
    streams: () => open.length,
    sent: () => sent,
  };
}
