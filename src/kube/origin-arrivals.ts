import type { SlotPlace } from '../ports/slots.ts';

/** For how long mirrors have sent blobs of repositories, while this node waited for a slot of their registry. */
export type Arrivals = {
  /** Bytes of a repository have just come. `place`: that of its registry; undefined if nobody waits for it. */
  note(place: Waiting | undefined, path: string): void;
  /** How long they came since the node lacks a slot, ms. Without a path, the longest of all repositories. */
  lastedMs(place: Waiting, path?: string): number;
};

type Waiting = Pick<SlotPlace, 'key' | 'lacksSince'>;
type Arrival = { ms: number; heardAt: number };

/** Bytes that come after a longer silence begin anew, ms; and how often they are noted. */
const [silenceMs, noteEveryMs] = [10_000, 500];
/** Far above the registries that a node waits for. */
const mostPlaces = 1_000;

/** @param now milliseconds of a monotonic clock. */
export function createArrivals(now: () => number): Arrivals {
  /** By the key of the place; `since`: what came before that does not count. */
  const arrivals = new Map<string, { readonly since: number; readonly byPath: Map<string, Arrival> }>();

  const of = ({ key, lacksSince }: Waiting): Map<string, Arrival> => {
    const since = lacksSince();
    const known = arrivals.get(key);
    if (known?.since === since) return known.byPath;
    const byPath = new Map<string, Arrival>();
    if (arrivals.size >= mostPlaces) arrivals.clear();
    arrivals.set(key, { since, byPath });
    return byPath;
  };

  return {
    note(place, path) {
      if (place === undefined) return;
      const byPath = of(place);
      const time = now();
      const arrival = byPath.get(path);
      if (arrival === undefined) return void byPath.set(path, { ms: 0, heardAt: time });
      const ms = time - arrival.heardAt;
      if (ms < noteEveryMs) return;
      if (ms <= silenceMs) arrival.ms += ms;
      arrival.heardAt = time;
    },
    lastedMs(place, path) {
      const byPath = of(place);
      const found = path === undefined ? [...byPath.values()] : [byPath.get(path)];
      return found.reduce((most, arrival) => Math.max(most, arrival?.ms ?? 0), 0);
    },
  };
}
