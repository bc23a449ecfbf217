import { type Answer, type HttpAddress, type HttpServer, serveHttp } from '../server.ts';
import { formatDocument, formatSections, formatWaiting } from './document.ts';
import { createPageReader, type PageUseCases } from './page-state.ts';
import { parsePageQuery } from './query.ts';
import { script } from './script.ts';
import { icon, style } from './style.ts';

export type PageOptions = {
  readonly nodeId: string;
  /** The use cases; or, in words, why there are none now. */
  readonly useCases: () => PageUseCases | string;
};

/** Readers that load the page or its sections at the same time. A further one ends the oldest connection. */
const maxConnections = 32;

/** Nothing but the style, the script, the icon and the sections of this server is loaded, and no page may frame it. */
const headers: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
};

/** Names of this host alone. A page of another site that has resolved its own name to 127.0.0.1 sends that name. */
const ownHost = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/**
 * Serves the status page. It changes nothing: it answers GET and HEAD only.
 *
 * @throws ArtifactError `exists` if another process has the address; `unavailable` if it cannot be bound.
 */
export function servePage(address: HttpAddress, { nodeId, useCases }: PageOptions): Promise<HttpServer> {
  const read = createPageReader(nodeId, () => {
    const found = useCases();
    if (typeof found === 'string') throw new Error(found);
    return found;
  });

  const answer = async (path: string, query: string): Promise<Answer> => {
    switch (path) {
      case '/page.css':
        return { status: 200, body: style, headers: typed('text/css') };
      case '/page.js':
        return { status: 200, body: script, headers: typed('text/javascript') };
      case '/icon.svg':
        return { status: 200, body: icon, headers: typed('image/svg+xml') };
      case '/':
      case '/sections': {
        const waiting = useCases();
        if (typeof waiting === 'string')
          return { status: 503, body: formatWaiting(nodeId, waiting), headers: typed('text/html') };
        const state = await read();
        const wanted = parsePageQuery(query);
        const body = path === '/' ? formatDocument(state, wanted) : formatSections(state, wanted).markup;
        return { status: 200, body, headers: typed('text/html') };
      }
      default:
        return { status: 404, body: 'the page is at /\n', headers };
    }
  };
  return serveHttp(address, {
    flag: '--page-listen',
    maxConnections,
    answer: async ({ path, query, host }) =>
      ownHost.test(host)
        ? answer(path, query)
        : { status: 421, body: 'the page answers to localhost, 127.0.0.1 and [::1] only\n', headers },
  });
}

function typed(type: string): Readonly<Record<string, string>> {
  return { ...headers, 'Content-Type': `${type}; charset=utf-8` };
}
