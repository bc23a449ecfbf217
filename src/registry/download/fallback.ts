import type { Accept, Head, HttpRequest, Send } from '../http/request.ts';
import { openLru } from '../http/lru.ts';

/** As Send; returns undefined if the response is not plain, and then nothing of it was accepted. */
export type PlainSend = (
  request: HttpRequest,
  accept: Accept,
  signal: AbortSignal,
) => Promise<Head | undefined>;

/** How long a server without plain responses is asked only by the fallback. */
const oddMs = 60_000;

/** Combines a plain transport with a fallback: a server whose response is not plain is asked again by the fallback. */
export type Fallback = (plainly: PlainSend) => Send;

export function openFallback(otherwise: Send): Fallback {
  const odd = openLru<{ until: number }>();
  return plainly => async (request, accept, signal) => {
    const { url, trust } = request;
    const oddity = odd.take(`${url.origin} ${trust.insecure} ${trust.id}`, () => ({ until: 0 }));
    if (Date.now() >= oddity.until) {
      const head = await plainly(request, accept, signal);
      if (head !== undefined) return head;
      oddity.until = Date.now() + oddMs;
    }
    return await otherwise(request, accept, signal);
  };
}
