import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Credential, Keyring } from '../../../src/oci/credential.ts';
import { openRegistry, type RegistryClient, type RegistryOptions } from '../../../src/registry/client.ts';
import { toUpstream } from '../../../src/registry/config/route.ts';
import type { Clock } from '../../../src/registry/http/retry.ts';
import { toTrust } from '../../../src/registry/http/tls.ts';

export const nobody: Credential = {
  kind: 'anonymous',
  source: 'anonymous (no file)',
  holder: { kind: 'anyone' },
};
export const anonymous: Keyring = keyringOf(nobody);

/** A clock that starts now and that only sleeping advances; `waits` are its sleeps in ms. */
export function openFakeClock(): Clock & { readonly waits: number[]; advance(ms: number): void } {
  const waits: number[] = [];
  let now = Date.now();
  return {
    waits,
    now: () => now,
    elapsed: () => now,
    random: () => 0.5,
    async sleep(ms) {
      waits.push(ms);
      now += ms;
    },
    advance(ms) {
      now += ms;
    },
  };
}

/** Returns the same credential for every upstream. */
export function keyringOf(credential: Credential): Keyring {
  return { id: JSON.stringify(credential), find: async () => credential };
}

/** A client that finds each registry under its own name, insecure by default. */
export function openTestClient(
  options: Partial<RegistryOptions> & { readonly secure?: boolean; readonly caFile?: string } = {},
): RegistryClient {
  const { secure = false, caFile, ...rest } = options;
  const trust = caFile === undefined ? undefined : toTrust([readFileSync(caFile, 'utf8')], []);
  return openRegistry({
    route: ({ registry, path }) => ({
      mirrors: [],
      last: toUpstream({ host: registry, path, insecure: !secure }),
    }),
    clock: openFakeClock(),
    ...(trust === undefined ? {} : { trust: () => trust }),
    ...rest,
  });
}

/** A sink in memory. */
export function openMemorySink(held: Uint8Array = new Uint8Array()): {
  offset: number;
  write(chunk: Uint8Array): void;
  restart(): void;
  digest(): string;
  restarts: number;
  largest: number;
} {
  let chunks = [Buffer.from(held)];
  return {
    offset: held.length,
    restarts: 0,
    largest: 0,
    write(chunk) {
      chunks.push(Buffer.from(chunk));
      this.offset += chunk.length;
      this.largest = Math.max(this.largest, chunk.length);
    },
    restart() {
      chunks = [];
      this.offset = 0;
      this.restarts += 1;
    },
    digest: () => `sha256:${hash('sha256', Buffer.concat(chunks))}`,
  };
}
