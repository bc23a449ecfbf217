import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import process from 'node:process';
import { isMainThread } from 'node:worker_threads';

/** The environment of a daemon whose thread of landings throws at the first request after SIGUSR2. */
export const losesDevice: { readonly NODE_OPTIONS: string } = {
  NODE_OPTIONS: `--import=${import.meta.url}`,
};

/** What the daemon then writes. */
export const lost = 'the device of the landings is lost';

/** The thread receives one more request, and then nothing of which it can make one. */
function loseDevice(): void {
  const devices = readdirSync('/proc/self/fd').filter(fd => linkOf(fd) === '/dev/fuse');
  for (const device of devices) {
    closeSync(Number(device));
    while (openSync('/dev/null', 'r+') !== Number(device));
  }
  process.stderr.write(`${lost}\n`);
}

function linkOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined; // it was that of the directory
  }
}

// A daemon imports this before its program, and a test for its environment.
if (isMainThread && process.env['NODE_OPTIONS'] === losesDevice.NODE_OPTIONS)
  process.on('SIGUSR2', loseDevice);
