import type { TransportOptions, UndiciTransport } from './undici-transport.ts';

/** undici's transport, loaded with its first request: it is a tenth of the CPU time of the daemon's start. */
export function openLazyTransport(options: TransportOptions): UndiciTransport {
  let opened: Promise<UndiciTransport> | undefined;
  return {
    async send(request, accept, signal) {
      opened ??= import('./undici-transport.ts').then(({ openUndiciTransport }) =>
        openUndiciTransport(options),
      );
      return (await opened).send(request, accept, signal);
    },
    async [Symbol.asyncDispose]() {
      await (await opened)?.[Symbol.asyncDispose]();
    },
  };
}
