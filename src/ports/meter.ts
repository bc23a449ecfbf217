/** Counters of the daemon; http/metrics.ts has them as Prometheus series. */
export type Meter = {
  bytesPulled(registry: string, bytes: number): void;
  /** Something in the cache was found to be wrong. */
  damageFound(what: 'blob' | 'layer' | 'view'): void;
  pullStarted(): void;
  pullEnded(outcome: 'ok' | 'error' | 'cancelled'): void;
};
