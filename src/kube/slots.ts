import type { LeaseObjects, NodeLease } from '../ports/kube-objects.ts';
import type { NodeSlots, OpenSlots, SlotPlace, SlotTrouble } from '../ports/slots.ts';
import { toArtifactError } from '../util/error.ts';
import { sleep } from '../util/sleep.ts';
import { countLeases } from './counted-leases.ts';
import { createLeaseReturns } from './lease-returns.ts';
import { openLeases } from './leases.ts';

/** Time and chance, replaced in tests: milliseconds of a monotonic clock, and a number from 0 up to 1. */
export type SlotClock = { now(): number; random(): number };

export const clockOfNode: SlotClock = { now: () => performance.now(), random: Math.random };

type Place = SlotPlace & {
  readonly holders: Map<number, string>;
  /** By the number of the slot: what was seen of a Lease is kept. */
  readonly leases: Map<number, NodeLease>;
  readonly tried: () => void;
  held: NodeLease | undefined;
  lostAt: number;
  users: number;
  /** When somebody asked for it in vain. */
  wantedAt: number;
  /** When its slot is given back if nobody uses it. */
  idleAt: number;
  /** Until when it stays wanted after a use without a slot: what comes next of the same work must not wait anew. */
  keptUntil: number;
  count: number;
  nextSlot: number;
  attempts: number;
  seekAt: number;
  renewAt: number;
};

/** After which a slot that is not renewed is free, and how often it is renewed, ms. */
const leaseMs = 90_000;
const renewMs = 30_000;
/** Slots that a node has at once. Their renewals are two thirds of the requests that it may send. */
const mostHeld = 4;
/** After which renewals that failed are tried again, one after the other, and after which a right that is missing is, ms. */
const retryMs = 5_000;
const deniedMs = 60_000;
/** How long a slot stays wanted, or taken before its use, ms. */
const wantedMs = 15_000;
/** How long the end waits for the API, ms. */
const releaseMs = 2_000;

/** Takes, renews and releases the Lease of each slot, one request after the other. See OpenSlots. */
export function openSlots(
  objects: LeaseObjects,
  node: { readonly namespace: () => string; readonly nodeId: string },
  [nameOf, times, pace, note]: Parameters<OpenSlots>,
  { now, random }: SlotClock = clockOfNode,
): NodeSlots {
  const openLease = openLeases(countLeases(objects, pace.count), node, now);
  const places = new Map<string, Place>();
  const returns = createLeaseReturns(now);
  const closing = new AbortController();
  let working: Promise<void> | undefined;
  let trouble: SlotTrouble | undefined;
  let problem: string | undefined;

  const open = (key: string, count: number): Place => {
    const { promise: first, resolve: tried } = Promise.withResolvers<void>();
    const place: Place = {
      key,
      holders: new Map(),
      leases: new Map(),
      first,
      tried,
      held: undefined,
      lostAt: now(),
      users: 0,
      wantedAt: now(),
      idleAt: 0,
      keptUntil: 0,
      count,
      nextSlot: Math.floor(random() * count),
      attempts: 0,
      seekAt: now(),
      renewAt: 0,
      isHeld: () => place.held?.isHeld() === true,
      lacksSince: () => place.lostAt,
      use() {
        place.users++;
        place.wantedAt = -Infinity;
        return {
          [Symbol.dispose]() {
            place.users--;
            place.idleAt = now() + times.idleMs;
            if (!place.isHeld()) place.keptUntil = now() + wantedMs;
          },
        };
      },
    };
    places.set(key, place);
    return place;
  };

  const lose = (place: Place): void => {
    place.held = undefined;
    place.lostAt = now();
  };

  /** The slots in turn, from a random one on: of many nodes that wait, few try the same one. */
  const seek = async (place: Place): Promise<void> => {
    const slot = place.nextSlot % place.count;
    place.nextSlot = slot + 1;
    const lease = place.leases.get(slot) ?? openLease(`${nameOf(place.key)}-${slot}`, leaseMs / 1000);
    place.leases.set(slot, lease);
    const waitMs = Math.min(times.longestSeekMs, times.seekMs * 2 ** place.attempts++);
    const askedAt = now();
    place.seekAt = askedAt + waitMs * (0.5 + 0.5 * random());
    if (await lease.take(closing.signal)) {
      place.held = lease;
      place.attempts = 0;
      place.renewAt = askedAt + renewMs;
      place.idleAt = now() + wantedMs; // who wants it asks every few seconds
      place.holders.clear();
    } else if (lease.holder() !== '') place.holders.set(slot, lease.holder());
    returns.forget(lease);
  };

  const renew = async (place: Place, lease: NodeLease): Promise<void> => {
    const askedAt = now();
    place.renewAt = askedAt + retryMs * holding().length; // if it fails
    if (await lease.take(closing.signal)) place.renewAt = askedAt + renewMs;
    else lose(place);
  };

  const giveBack = async (lease: NodeLease): Promise<void> => {
    returns.add(lease); // if it fails
    await lease.release(closing.signal);
    returns.forget(lease);
  };

  const holding = (): readonly Place[] => [...places.values()].filter(({ held }) => held !== undefined);

  /** What is due now, what has been due for longest first. Seeking only as often as requests may be sent. */
  const choose = (): (() => Promise<void>) | undefined => {
    for (const place of holding()) {
      const { held } = place;
      if (held === undefined || held.isHeld()) continue;
      lose(place);
      returns.add(held);
    }
    for (const place of holding().toSorted((a, b) => a.renewAt - b.renewAt)) {
      const { held } = place;
      if (held === undefined) continue;
      if (place.users === 0 && now() >= place.idleAt) {
        lose(place);
        return () => giveBack(held);
      }
      if (now() >= place.renewAt) return () => renew(place, held);
    }
    const isFull = holding().length >= mostHeld;
    for (const place of [...places.values()].toSorted((a, b) => a.seekAt - b.seekAt)) {
      if (place.held !== undefined) continue;
      const isAsked = place.users > 0 || now() - place.wantedAt < wantedMs;
      const isWanted = isAsked || now() < place.keptUntil;
      if (!isWanted) places.delete(place.key);
      else if (isFull) place.tried();
      else if (now() >= place.seekAt && pace.isFree()) return () => seek(place).finally(place.tried);
    }
    return undefined;
  };

  const fail = (thrown: unknown): void => {
    const { code, message } = toArtifactError(thrown);
    const isDenied = code === 'denied' || code === 'not-found';
    trouble = { since: trouble?.since ?? now(), why: message, isDenied };
    if (message !== problem) note(message);
    problem = message;
    if (isDenied) for (const place of places.values()) place.seekAt = now() + deniedMs;
  };

  const work = async (): Promise<void> => {
    while (places.size + returns.all().length > 0 && !closing.signal.aborted) {
      const due = choose();
      if (places.size === 0) trouble = undefined; // the next one that wants a slot gets an answer of its own
      if (due === undefined) {
        if (pace.isFree() && (await returns.tryNext(closing.signal))) problem = undefined;
        await sleep(times.stepMs, closing.signal);
        continue;
      }
      try {
        await due();
        trouble = problem = undefined;
      } catch (thrown) {
        if (!closing.signal.aborted) fail(thrown);
      }
    }
    trouble = undefined;
    working = undefined;
  };

  return {
    want(key, count) {
      const place = places.get(key) ?? open(key, count);
      place.count = count;
      place.wantedAt = now();
      working ??= work();
      return place;
    },
    find: key => places.get(key),
    places: () => [...places.values()],
    trouble: () => trouble,
    problem: () => problem,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await working;
      const held = [...places.values()].flatMap(place => place.held ?? []);
      const limit = AbortSignal.timeout(releaseMs);
      await Promise.allSettled([...held, ...returns.all()].map(lease => lease.release(limit)));
    },
  };
}
