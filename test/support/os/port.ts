import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Returns a TCP port of 127.0.0.1 on which nothing listened a moment ago. It is below the kernel's ephemeral range, so
 * that no connection and no server of another test uses it meanwhile.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_768);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue; // the port is in use
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Returns a loopback address that nothing else uses, whatever the port: there are 16 million. */
export function ownAddress(): string {
  const [second, third, last] = [randomInt(1, 256), randomInt(256), randomInt(1, 255)];
  return `127.${second}.${third}.${last}`;
}
