import type { Random } from '../support/os/random.ts';
import { type FluidSource, openEventClock, openFluidSource } from './fluid.ts';

/** Many nodes that want all parts of one artifact. Rates are in bytes per second. */
export type Crowd = {
  readonly nodes: number;
  readonly parts: number;
  readonly partBytes: number;
  /** The parts that a node takes at a time, each with an equal share of its link. */
  readonly slots: number;
  readonly origin: number;
  readonly link: number;
};

/** When the last node had everything, in seconds, and how many copies the origin sent. */
export type Finish = { readonly seconds: number; readonly copies: number };

/** How nodes give each other parts that they have whole. */
export type Peers = {
  /** Bytes per second that each node sends. */
  readonly upload: number;
  /** The streams that it serves at a time. It refuses others, and who finds no peer asks again. */
  readonly serves: number;
  /** The streams from the origin that all nodes may have together. With Infinity, who finds no peer asks the origin. */
  readonly gate: number;
  /** Each node takes the parts in an order of its own. */
  readonly shuffled: boolean;
  /** The nodes start within so many seconds. */
  readonly spread: number;
};

/** Nodes that ask peers first. Without `peers` they ask only the origin. */
export function runPeers(crowd: Crowd, peers: Peers | undefined, random: Random): Finish {
  const { nodes, parts, partBytes, slots, link } = crowd;
  const clock = openEventClock();
  const origin = openFluidSource(clock, partBytes, crowd.origin, link / slots);
  const uploads = Array.from({ length: nodes }, () =>
    openFluidSource(clock, partBytes, peers?.upload ?? 0, link / slots),
  );
  /** By part: who has it, and how often it is on its way from the origin. */
  const holders: number[][] = Array.from({ length: parts }, () => []);
  const underWay = Array.from({ length: parts }, () => 0);
  const missing = Array.from({ length: nodes }, () => {
    const order = [...Array(parts).keys()];
    return peers?.shuffled ? shuffle(order, random) : order;
  });
  const active = Array.from({ length: nodes }, () => 0);
  const waiting: number[] = [];
  const isWaiting = new Set<number>();

  /** A peer that has the part and serves one more, of some that are asked. */
  const findPeer = (part: number): FluidSource | undefined => {
    const having = holders[part] ?? [];
    for (let tries = Math.min(4, having.length); tries > 0; tries--) {
      const source = uploads[having[below(having.length, random)] ?? 0];
      if (source !== undefined && source.streams() < (peers?.serves ?? 0)) return source;
    }
    return undefined;
  };
  /** The next part of a node that a source has for it now. */
  const findPart = (node: number): readonly [part: number, source: FluidSource] | undefined => {
    const wanted = missing[node] ?? [];
    const [first] = wanted;
    if (peers === undefined) return first === undefined ? undefined : [first, origin];
    for (const part of wanted) {
      const source = findPeer(part);
      if (source !== undefined) return [part, source];
      if (peers.gate === Infinity) return [part, origin];
    }
    if (origin.streams() >= peers.gate) return undefined;
    const unknown = wanted.find(part => underWay[part] === 0 && holders[part]?.length === 0);
    return unknown === undefined ? undefined : [unknown, origin];
  };
  const proceed = (node: number): void => {
    while ((active[node] ?? 0) < slots && (missing[node]?.length ?? 0) > 0) {
      const found = findPart(node);
      if (found === undefined) {
        if (!isWaiting.has(node)) waiting.push(node);
        isWaiting.add(node);
        return;
      }
      const [part, source] = found;
      missing[node] = (missing[node] ?? []).filter(other => other !== part);
      active[node] = (active[node] ?? 0) + 1;
      if (source === origin) underWay[part] = (underWay[part] ?? 0) + 1;
      source.send(() => {
        holders[part]?.push(node);
        active[node] = (active[node] ?? 0) - 1;
        if (source === origin) underWay[part] = (underWay[part] ?? 0) - 1;
        proceed(node);
        // A stream of the source is free, and this node serves the part.
        wake((peers?.serves ?? 0) + 1);
      });
    }
  };
  const wake = (count: number): void => {
    for (let left = Math.min(count, waiting.length); left > 0; left--) {
      const at = below(waiting.length, random);
      const node = waiting[at] ?? 0;
      waiting[at] = waiting.at(-1) ?? 0;
      waiting.pop();
      isWaiting.delete(node);
      proceed(node);
    }
  };
  for (let node = 0; node < nodes; node++) {
    clock.at((peers?.spread ?? 0) * (node / nodes), () => proceed(node));
  }
  clock.run();
  if (missing.some(({ length }) => length > 0)) throw new Error('the simulation stands still');
  return { seconds: clock.now(), copies: origin.sent() / parts };
}

/** Brings a part, and calls back when it is here. */
type Fetch = (part: number, done: () => void) => void;

/** A cache for each rack, and perhaps one above them. Rates are in bytes per second. */
export type Racks = {
  readonly caches: number;
  /** What each cache sends. */
  readonly sends: number;
  /** What the cache above sends; undefined without one. */
  readonly above: number | undefined;
  /** Whether a cache sends a part while it comes, and not only when it is here. */
  readonly streams: boolean;
};

/** Nodes that ask the cache of their rack. All take the parts in one order. */
export function runRacks(crowd: Crowd, { caches, sends, above, streams }: Racks): Finish {
  const { nodes, parts, partBytes, slots, link } = crowd;
  const clock = openEventClock();
  const origin = openFluidSource(clock, partBytes, crowd.origin, Infinity);
  const fromOrigin: Fetch = (_part, done) => origin.send(done);
  const zone =
    above === undefined
      ? fromOrigin
      : openCache(openFluidSource(clock, partBytes, above, Infinity), fromOrigin, streams);
  const racks = Array.from({ length: caches }, () =>
    openCache(openFluidSource(clock, partBytes, sends, link / slots), zone, streams),
  );
  for (let node = 0; node < nodes; node++) {
    let next = 0;
    const proceed = (): void => {
      if (next < parts) racks[node % caches]?.(next++, proceed);
    };
    for (let slot = 0; slot < slots; slot++) proceed();
  }
  clock.run();
  return { seconds: clock.now(), copies: origin.sent() / parts };
}

/** A cache that fetches each part once, whoever wants it. A stream lasts until the part is here. */
function openCache(source: FluidSource, fetch: Fetch, streams: boolean): Fetch {
  const here = new Set<number>();
  const waiting = new Map<number, (() => void)[]>();
  const whenHere = (part: number, act: () => void): void => {
    const others = waiting.get(part);
    if (here.has(part)) act();
    else if (others !== undefined) others.push(act);
    else {
      const all = [act];
      waiting.set(part, all);
      fetch(part, () => {
        here.add(part);
        for (const each of all) each();
      });
    }
  };
  return (part, done) => {
    if (!streams) return whenHere(part, () => source.send(done));
    let left = 2;
    const end = (): void => {
      if (--left === 0) done();
    };
    whenHere(part, end);
    source.send(end);
  };
}

function shuffle(order: readonly number[], random: Random): number[] {
  return order
    .map(part => ({ part, at: random.next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ part }) => part);
}

function below(count: number, random: Random): number {
  return Math.floor(random.next() * count);
}
