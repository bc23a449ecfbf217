import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuWait } from '../../../test/support/os/cpu-time.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { lengths, type Size, shareBlobSource, sizes } from '../../../test/support/registry/blob-source.ts';
import { openTestProxy } from '../../../test/support/registry/proxy.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { openStore } from '../../store/store.ts';
import { createTokenBucket, openAllowance, receive } from '../../util/token-bucket.ts';
import { metered } from '../../volume/sinks/metered-sink.ts';
import type { RegistryOptions } from '../client.ts';
import { parseProxies } from '../http/egress.ts';

const source = await shareBlobSource();
const never = new AbortController().signal;

const rates: Readonly<Record<Size, number>> = { small: 1_000_000, large: 10_000_000 };
/** What may come early: the bytes of 50 ms or 64 KiB, and a chunk. */
const early: Readonly<Record<Size, number>> = { small: 65_536 + 262_144, large: 500_000 + 262_144 };

/**
 * Pulls a blob into a file at its rate. Fails if more bytes come than the rate allows at any time, or if it takes long
 * although this process had a CPU.
 */
async function pullSlowly(size: Size, options: Partial<RegistryOptions> = {}, held = 0): Promise<void> {
  await using directory = await temporaryDirectory();
  await using store = await openStore({ stateDir: directory.path });
  await using client = openTestClient(options);
  const descriptor = source.blobs[size];
  await using ingest = await store.blobs.ingest(descriptor, 'registry', never);
  ingest.write(source.bytes[size].subarray(0, held));
  const allowance =
    options.bucketOf === undefined
      ? openAllowance(createTokenBucket(rates[size]), lengths[size] - held)
      : undefined;
  if (allowance !== undefined) await receive(allowance, 0);
  const [began, waited] = [performance.now(), cpuWait()];
  const allowed = (): number => (rates[size] * (performance.now() - began)) / 1000 + early[size];
  const excesses: string[] = [];
  using look = setInterval(() => {
    const [now, most] = [ingest.offset - held, allowed()];
    if (now > most) excesses.push(`${now} bytes of ${most}`);
  }, 5);
  const registry = options.proxies
    ? source.registry.host.replace('127.0.0.1', 'r.test')
    : source.registry.host;
  const sink = metered(ingest, () => {}, { allowance });
  await client.blob({ registry, path: source.path }, descriptor, sink, anonymous, never);
  look.close();
  await ingest.verify();
  assert.deepEqual(excesses, []);
  const seconds = (performance.now() - began) / 1000;
  const starved = (cpuWait() - waited) / 1000;
  const expected = lengths[size] / rates[size];
  const took = `it took ${seconds} s, of which threads waited ${starved} s for a CPU`;
  assert.ok(seconds > 0.8 * expected && seconds - starved < 4 * expected, took);
}

for (const size of sizes) {
  test(`a ${size} blob comes no faster than its allowance`, () => pullSlowly(size));

  test(`a ${size} blob comes no faster than its endpoint may send`, async () => {
    const bucket = createTokenBucket(rates[size]);
    await pullSlowly(size, { bucketOf: () => bucket });
  });

  test(`a ${size} blob without a length comes no faster`, async () => {
    source.registry.fault(() => ({ kind: 'chunked' }));
    await pullSlowly(size);
  });

  test(`a ${size} blob comes no faster through a proxy`, async () => {
    await using proxy = await openTestProxy();
    await pullSlowly(size, { proxies: parseProxies({ HTTP_PROXY: proxy.url }) });
    assert.equal(proxy.asked.length, 1);
  });
}

test('bytes that are skipped, because the server ignores a range, count as well', async () => {
  source.registry.fault(() => ({ kind: 'no-range' }));
  await pullSlowly('large', {}, lengths.large - 100_000);
});

test('a receiver that waits for its allowance is no slow server', async () => {
  // Looked at once before its end, because a busy machine sends nothing for a while.
  const leastRate = { bytesPerSecond: 2 * rates.large, overMs: 400 };
  source.registry.fault(({ nth }) => (nth === 1 ? { kind: 'chunked' } : undefined));
  await pullSlowly('large', { leastRate });
  await pullSlowly('large', { leastRate });
});

test('an abort ends a download that waits', async () => {
  await using client = openTestClient();
  const allowance = openAllowance(createTokenBucket(1_000), lengths.small);
  const leaving = new AbortController();
  setTimeout(() => leaving.abort(), 100);
  const pulling = client.blob(
    { registry: source.registry.host, path: source.path },
    source.blobs.small,
    Object.assign(openMemorySink(), { allowance }),
    anonymous,
    leaving.signal,
  );
  await assert.rejects(pulling, { code: 'cancelled' });
});
