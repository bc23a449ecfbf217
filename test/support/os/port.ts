import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A TCP port of 127.0.0.1 that nobody listened at a moment ago. It lies below the range that the kernel chooses from, so
 * that no connection and no server of another test takes it meanwhile.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue; // somebody has it
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** A loopback address that nobody else uses, whatever their port: there are 16 million. */
export function ownAddress(): string {
  const [second, third, last] = [randomInt(1, 256), randomInt(256), randomInt(1, 255)];
  return `127.${second}.${third}.${last}`;
}
