import { never } from '../util/abortable.ts';
import { createMemo } from '../util/memo.ts';
import { type Answer, type HttpAddress, type HttpServer, serveHttp } from './server.ts';

export type Pages = {
  /** What a daemon waits for that will take over from another; undefined for one that serves. */
  standby(): string | undefined;
  /** Failures that only a restart fixes, one line each. */
  broken(): readonly string[];
  /** Reasons why the daemon is not ready, one line each; empty if it is ready. */
  ready(): readonly string[];
  /** Problems that do not affect readiness, one line each. */
  notes(): Promise<readonly string[]>;
  /** Information about the node, one line each. */
  facts(): readonly string[];
  readonly metrics: { readonly contentType: string; scrape(): Promise<string> };
};

/** Concurrent connections. A probe and a scrape take one each, for milliseconds. */
const maxConnections = 128;
/** How long the result of a scrape is reused. */
const freshMs = 1_000;

/**
 * Serves /healthz (503 if only a restart helps), /readyz and /metrics. The first two list their reasons with a 503. One
 * scrape is computed at a time, and unread answers share one buffer.
 *
 * @throws ArtifactError `exists` if another process has the address; `unavailable` if it cannot be bound.
 */
export function serveProbes(address: HttpAddress, pages: Pages): Promise<HttpServer> {
  const scraped = createMemo<Uint8Array>();
  const scrape = (): Promise<Uint8Array> =>
    scraped.recall(
      'metrics',
      async () => ({ value: Buffer.from(await pages.metrics.scrape()), forMs: freshMs }),
      never,
    );
  return serveHttp(address, {
    flag: '--http-listen',
    maxConnections,
    answer: ({ path }) => answer(path, pages, scrape),
  });
}

async function answer(path: string, pages: Pages, scrape: () => Promise<Uint8Array>): Promise<Answer> {
  switch (path) {
    case '/healthz': {
      const reasons = pages.broken();
      return {
        status: reasons.length === 0 ? 200 : 503,
        body: reasons.map(reason => `${reason}\n`).join('') || 'ok\n',
      };
    }
    case '/readyz': {
      const standby = pages.standby();
      const reasons = pages.ready();
      if (standby !== undefined && reasons.length === 0)
        return { status: 200, body: `standby: ${standby}\n` };
      const notes = (await pages.notes()).map(note => `ready, but: ${note}\n`);
      const facts = pages.facts().map(fact => `${fact}\n`);
      if (reasons.length === 0)
        return { status: 200, body: `${notes.join('') || 'ready\n'}${facts.join('')}` };
      return { status: 503, body: reasons.map(reason => `not ready: ${reason}\n`).join('') };
    }
    case '/metrics':
      return {
        status: 200,
        body: await scrape(),
        headers: { 'Content-Type': pages.metrics.contentType },
      };
    default:
      return { status: 404, body: '/healthz, /readyz and /metrics are here\n' };
  }
}
