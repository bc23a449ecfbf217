import type { Pauses } from './pauses.ts';
import type { Clock, OnRetry } from './retry.ts';
import type { TransportOptions, UndiciTransport } from './undici-transport.ts';

/** undici's transport, loaded with its first request, which few daemons need. */
export function openLazyTransport(options: TransportOptions): UndiciTransport {
  let opened: Promise<UndiciTransport> | undefined;
  const load = async (): Promise<UndiciTransport> =>
    (await import('./undici-transport.ts')).openUndiciTransport(options);
  return {
    async send(request, accept, signal) {
      opened ??= load();
      return (await opened).send(request, accept, signal);
    },
    async [Symbol.asyncDispose]() {
      await (await opened)?.[Symbol.asyncDispose]();
    },
  };
}

/** Loaded when a host asks to wait for the first time, which few do. */
export type LazyPauses = { readonly opened: Pauses | undefined; open(): Promise<Pauses> };

export function openLazyPauses(...settings: readonly [Clock, number, OnRetry]): LazyPauses {
  let opening: Promise<Pauses> | undefined;
  const lazy = {
    opened: undefined as Pauses | undefined,
    open(): Promise<Pauses> {
      opening ??= import('./pauses.ts').then(({ openPauses }) => (lazy.opened = openPauses(...settings)));
      return opening;
    },
  };
  return lazy;
}
