import { Agent, type Dispatcher } from 'undici';
import type { Head, Receiver, Send } from './hop.ts';
import { cancelled, toOutage } from './outage.ts';
import type { Tls } from './tls.ts';

/** Keep-alive connections of undici. HTTP/1.1 only: HTTP/2 measured slower for bodies. */
export type Pool = AsyncDisposable & { readonly send: Send };

const connectMs = 10_000;

/** `stallMs`: how long a server may send nothing. */
export function openPool(tls: Tls, stallMs: number): Pool {
  const agents = new Map<boolean, Agent>();

  function agentFor(insecure: boolean): Agent {
    const agent =
      agents.get(insecure) ??
      new Agent({
        allowH2: false,
        headersTimeout: stallMs,
        bodyTimeout: stallMs,
        connect: { ...tls.options(insecure), timeout: connectMs },
      });
    agents.set(insecure, agent);
    return agent;
  }

  const send: Send = (request, accept, signal) =>
    new Promise((resolve, reject) => {
      let head: Head | undefined;
      let receive: Receiver | undefined;
      let controller: Dispatcher.DispatchController | undefined;
      const abort = () => {
        controller?.abort(cancelled(signal));
        reject(cancelled(signal));
      };
      const settle = () => signal.removeEventListener('abort', abort);
      /** undici reports what its handlers throw as if the connection had failed; ours goes on as it is. */
      let ours: { readonly thrown: unknown } | undefined;
      const guarded = <T>(run: () => T): T => {
        try {
          return run();
        } catch (thrown) {
          ours = { thrown };
          throw thrown;
        }
      };
      if (signal.aborted) return abort();
      const agent = agentFor(request.insecure);
      signal.addEventListener('abort', abort);
      agent.dispatch(
        {
          origin: request.url.origin,
          path: `${request.url.pathname}${request.url.search}`,
          method: request.method,
          headers: request.headers,
          ...(request.body === undefined ? {} : { body: request.body }),
        },
        {
          onRequestStart(started) {
            controller = started;
            if (signal.aborted) started.abort(cancelled(signal));
          },
          onResponseStart(_, status, headers) {
            if (status < 200) return;
            const arrived = { status, headers: toHeaders(headers) };
            head = arrived;
            receive = guarded(() => accept(arrived));
          },
          onResponseData(_, chunk) {
            guarded(() => receive?.(chunk));
          },
          onResponseEnd() {
            settle();
            if (head !== undefined) resolve(head);
          },
          onResponseError(_, failure) {
            settle();
            reject(ours === undefined ? toOutage(failure, request.url, head !== undefined) : ours.thrown);
          },
        },
      );
    });

  return {
    send,
    async [Symbol.asyncDispose]() {
      for (const agent of agents.values()) await agent.destroy();
    },
  };
}

function toHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const joined: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) joined[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : value;
  }
  return joined;
}
