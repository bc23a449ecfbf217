import { hash } from 'node:crypto';
import type { KubeObjects, NodeLease } from '../ports/kube-objects.ts';
import { toArtifactError } from '../util/error.ts';
import { sleep } from '../util/sleep.ts';
import { countLeases } from './counted-leases.ts';
import { openLeases } from './leases.ts';

export type SlotSettings = {
  readonly namespace: () => string;
  readonly nodeId: string;
  /** For each registry. */
  readonly slots: number;
};

/** Milliseconds. */
export type SlotTimes = {
  /** After which a slot that is not renewed is free, and how often it is renewed. */
  readonly leaseMs: number;
  readonly renewMs: number;
  /** How far apart the requests of this node are on average, and the time of those that may be sent at once. */
  readonly requestMs: number;
  readonly burstMs: number;
  /** How long a slot stays taken after its use; and how long it stays wanted, or taken before its use. */
  readonly idleMs: number;
  readonly wantedMs: number;
  /** How often a right that is missing is tried. */
  readonly deniedMs: number;
};

export const usualSlotTimes: SlotTimes = {
  leaseMs: 90_000,
  renewMs: 30_000,
  requestMs: 5_000,
  burstMs: 30_000,
  idleMs: 2_000,
  wantedMs: 15_000,
  deniedMs: 60_000,
};

/** Time and chance, replaced in tests: milliseconds of a monotonic clock, and a number from 0 up to 1. */
export type SlotClock = { now(): number; random(): number };

/** A registry from which this node takes blobs, or wants to. */
export type OriginPlace = {
  readonly host: string;
  /** The nodes that had its slots when these were looked at last, by slot. */
  readonly holders: Map<number, string>;
  /** Settled when the first attempt has ended. */
  readonly first: PromiseWithResolvers<void>;
  /** The slot of this node. */
  held: NodeLease | undefined;
  /** Since when it has none. */
  lacksSince: number;
  users: number;
  /** When somebody asked for it in vain. */
  wantedAt: number;
  /** When its slot is given back if nobody uses it. */
  idleAt: number;
};

type Place = OriginPlace & {
  readonly leases: Map<number, NodeLease>;
  nextSlot: number;
  seekAt: number;
  renewAt: number;
};

/** Why the Kubernetes API fails, and since when; or what it does not allow. */
export type SlotTrouble = { readonly since: number; readonly why: string; readonly isDenied: boolean };

/** The slots that this node has, or seeks while they are wanted. Disposing it releases them. */
export type OriginSlots = AsyncDisposable & {
  want(host: string): OriginPlace;
  places(): readonly OriginPlace[];
  /** While slots are wanted. */
  trouble(): SlotTrouble | undefined;
  /** Why the last request failed; undefined if it succeeded. */
  problem(): string | undefined;
};

/** How often the work looks for what is due. */
const stepMs = 100;
const releaseMs = 2_000;

/** Takes, renews and releases a Lease for each slot, one request after the other. */
export function openOriginSlots(
  objects: KubeObjects,
  { namespace, nodeId, slots }: SlotSettings,
  times: SlotTimes,
  { now, random }: SlotClock,
): OriginSlots {
  const requests = countLeases(objects, times.requestMs, now);
  const openLease = openLeases(requests.client, { namespace, nodeId }, now);
  const places = new Map<string, Place>();
  const closing = new AbortController();
  let working: Promise<void> | undefined;
  let trouble: SlotTrouble | undefined;
  let problem: string | undefined;

  const open = (host: string): Place => {
    const place: Place = {
      host,
      holders: new Map(),
      first: Promise.withResolvers(),
      held: undefined,
      lacksSince: now(),
      users: 0,
      wantedAt: now(),
      idleAt: 0,
      leases: new Map(),
      nextSlot: Math.floor(random() * slots),
      seekAt: now(),
      renewAt: 0,
    };
    places.set(host, place);
    return place;
  };

  const lose = (place: Place): void => {
    place.held = undefined;
    place.lacksSince = now();
  };

  /** The slots in turn, from a random one on: of many nodes that wait, few try the same one. */
  const seek = async (place: Place): Promise<void> => {
    const slot = place.nextSlot;
    place.nextSlot = (slot + 1) % slots;
    const lease = place.leases.get(slot) ?? openLease(nameOf(place.host, slot), times.leaseMs / 1000);
    place.leases.set(slot, lease);
    place.seekAt = now() + times.requestMs * (1 + random());
    if (await lease.take(closing.signal)) {
      place.held = lease;
      place.renewAt = now() + times.renewMs;
      place.idleAt = now() + times.wantedMs; // who wants it asks every few seconds
      place.holders.clear();
    } else if (lease.holder() !== '') place.holders.set(slot, lease.holder());
  };

  const renew = async (place: Place, lease: NodeLease): Promise<void> => {
    place.renewAt = now() + times.requestMs; // if it fails
    if (await lease.take(closing.signal)) place.renewAt = now() + times.renewMs;
    else lose(place);
  };

  /** What is due now: slots in use come first, and seeking only as often as requests may be sent. */
  const choose = (): (() => Promise<void>) | undefined => {
    for (const place of places.values()) {
      const { held } = place;
      if (held?.isHeld() === false) lose(place);
      else if (held !== undefined && place.users === 0 && now() >= place.idleAt) {
        lose(place);
        return () => held.release(closing.signal);
      } else if (held !== undefined && now() >= place.renewAt) return () => renew(place, held);
    }
    for (const place of places.values()) {
      if (place.held !== undefined) continue;
      const isWanted = place.users > 0 || now() - place.wantedAt < times.wantedMs;
      if (!isWanted) places.delete(place.host);
      else if (now() >= Math.max(place.seekAt, requests.readyAt() - times.burstMs))
        return () => seek(place).finally(place.first.resolve);
    }
    return undefined;
  };

  const fail = (thrown: unknown): void => {
    const { code, message } = toArtifactError(thrown);
    const isDenied = code === 'denied' || code === 'not-found';
    trouble = { since: trouble?.since ?? now(), why: message, isDenied };
    problem = message;
    if (isDenied) for (const place of places.values()) place.seekAt = now() + times.deniedMs;
  };

  const work = async (): Promise<void> => {
    while (places.size > 0 && !closing.signal.aborted) {
      const due = choose();
      if (due === undefined) {
        await sleep(stepMs, closing.signal);
        continue;
      }
      try {
        await due();
        trouble = problem = undefined;
      } catch (thrown) {
        if (!closing.signal.aborted) fail(thrown);
      }
    }
    trouble = undefined; // the next pull gets an answer of its own
    working = undefined;
  };

  return {
    want(host) {
      const place = places.get(host) ?? open(host);
      place.wantedAt = now();
      working ??= work();
      return place;
    },
    places: () => [...places.values()],
    trouble: () => trouble,
    problem: () => problem,
    async [Symbol.asyncDispose]() {
      closing.abort();
      await working;
      const held = [...places.values()].flatMap(place => place.held ?? []);
      const limit = AbortSignal.timeout(releaseMs);
      await Promise.allSettled(held.map(lease => lease.release(limit)));
    },
  };
}

/** `origin-registry-example-com-5000-1f0c6b2a9d3e-0`: unique, and a name that an object may have. */
function nameOf(host: string, slot: number): string {
  const words = host.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  return `origin-${words.join('-').slice(0, 40)}-${hash('sha256', host).slice(0, 12)}-${slot}`;
}
