import type { Pages } from '../../../src/http/probes.ts';

/** What a daemon without problems and facts answers to probes, but for the given parts. */
export function pagesWith(given: Partial<Pages>): Pages {
  return {
    standby: () => undefined,
    broken: () => [],
    notes: async () => [],
    facts: () => [],
    ready: () => [],
    metrics: { contentType: 'text/plain', scrape: async () => '' },
    ...given,
  };
}
