import type { Accept, Head, HttpRequest, Send } from '../http/request.ts';
import { openLru } from '../http/lru.ts';

/** As Send; undefined for a server whose answer is not plain, of which nothing was accepted. */
export type PlainSend = (
  request: HttpRequest,
  accept: Accept,
  signal: AbortSignal,
) => Promise<Head | undefined>;

/** For so long a server that did not answer plainly is not asked so again. */
const oddMs = 60_000;

/** Makes a whole way of one that asks plainly: who does not answer so is asked by another, anew. */
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
