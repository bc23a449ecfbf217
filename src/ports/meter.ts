/** Counters of the daemon. http/metrics.ts exposes them to Prometheus. */
export type Meter = {
  bytesPulled(registry: string, bytes: number): void;
  /** Counts damaged content in the cache. */
  damageFound(what: 'blob' | 'layer' | 'view'): void;
  pullEnded(outcome: 'ok' | 'error' | 'cancelled'): void;
};
