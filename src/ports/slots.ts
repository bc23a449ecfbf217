import type { RequestPace } from '../util/request-pace.ts';

/** Milliseconds. */
export type SlotTimes = {
  /** Between attempts to get a slot: the first wait, which doubles with each, and the longest. Half of it is chance. */
  readonly seekMs: number;
  readonly longestSeekMs: number;
  /** How long a slot stays taken after its use. */
  readonly idleMs: number;
  /** How often it is checked what is due. */
  readonly stepMs: number;
};

/** What has slots, of which this node has one, or wants one. */
export type SlotPlace = {
  readonly key: string;
  /** The nodes that had its slots when these were looked at last, by slot. */
  readonly holders: ReadonlyMap<number, string>;
  /** Resolved when the first attempt has ended. */
  readonly first: Promise<void>;
  /** Whether this node has a slot, as far as its own clock can say. */
  isHeld(): boolean;
  /** Since when it has none, by the clock of the slots. */
  lacksSince(): number;
  /** Keeps the slot, or seeks one, until it is disposed. */
  use(): Disposable;
};

/** Why the Kubernetes API fails, and since when; or what it does not allow. */
export type SlotTrouble = { readonly since: number; readonly why: string; readonly isDenied: boolean };

/**
 * Slots, by which so many nodes do something at once: a Lease for each. This node seeks one while it wants it, renews it,
 * and gives it back after its use. It has those of a few keys at once. Disposing this gives all back.
 */
export type NodeSlots = AsyncDisposable & {
  /** Asks for one of the slots of a key, as does everyone who wants it, every few seconds. */
  want(key: string, count: number): SlotPlace;
  /** That of a key, if somebody wants it. */
  find(key: string): SlotPlace | undefined;
  places(): readonly SlotPlace[];
  /** While slots are wanted. */
  trouble(): SlotTrouble | undefined;
  /** Why the last request failed; undefined if it succeeded. */
  problem(): string | undefined;
};

/**
 * @param nameOf the start of the names of the Leases of a key. @param pace of the requests: an attempt waits until it is
 *   free; renewals do not. @param note is told of each new problem.
 */
export type OpenSlots = (
  nameOf: (key: string) => string,
  times: SlotTimes,
  pace: RequestPace,
  note: (problem: string) => void,
) => NodeSlots;
