import { setTimeout as sleep } from 'node:timers/promises';
import { type ArtifactError, toArtifactError } from '../util/error.ts';
import type { HttpServer } from './server.ts';

/** How often an address that another process has is tried again. */
const everyMs = 200;

export type Lateness = {
  /** Whether it may still become free. */
  readonly isPatient: () => boolean;
  readonly onServing: (port: number) => void;
  readonly onFailure: (error: ArtifactError) => void;
};

/**
 * Serves as soon as an address is free: on the host's network, a predecessor has it until its end. The first attempt is
 * awaited, and further ones are made in the background until this is disposed.
 *
 * @throws ArtifactError of `serve`, if there is no patience for it.
 */
export async function serveLate(
  serve: () => Promise<HttpServer>,
  { isPatient, onServing, onFailure }: Lateness,
): Promise<AsyncDisposable> {
  const closing = new AbortController();
  const attempt = async (): Promise<HttpServer | undefined> => {
    try {
      const server = await serve();
      onServing(server.port);
      return server;
    } catch (thrown) {
      if (toArtifactError(thrown).code === 'exists' && isPatient()) return undefined;
      throw thrown;
    }
  };
  const retry = async (): Promise<HttpServer | undefined> => {
    try {
      for (;;) {
        await sleep(everyMs, undefined, { signal: closing.signal });
        const server = await attempt();
        if (server !== undefined) return server;
      }
    } catch (thrown) {
      if (!closing.signal.aborted) onFailure(toArtifactError(thrown));
      return undefined;
    }
  };
  const first = await attempt();
  const server = first === undefined ? retry() : Promise.resolve(first);
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await (await server)?.[Symbol.asyncDispose]();
    },
  };
}
