/** Counters of the daemon; http/metrics.ts has them as Prometheus series. */
export type Meter = {
  bytesPulled(registry: string, bytes: number): void;
  pullStarted(): void;
  pullEnded(outcome: 'ok' | 'error' | 'cancelled'): void;
};
