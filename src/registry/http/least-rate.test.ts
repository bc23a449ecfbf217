import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createServer } from '../../../test/support/os/http.ts';
import { lengths, shareBlobSource, sizes } from '../../../test/support/registry/blob-source.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';

const { signal } = new AbortController();
const source = await shareBlobSource();

/** Ten times the rate of the slow servers. */
const leastRate = { bytesPerSecond: 1024 * 1024, overMs: 400 };

for (const size of sizes) {
  test(`a ${size} blob that trickles in is ended, its bytes are kept, and the error says so`, async () => {
    source.registry.fault(() => ({ kind: 'slow', bytesPerSecond: 100 * 1024 }));
    const sink = openMemorySink();
    await using client = openTestClient({ leastRate });
    const name = { registry: source.registry.host, path: source.path };
    await assert.rejects(client.blob(name, source.blobs[size], sink, anonymous, signal), {
      code: 'unavailable',
      message: /sent .* in 0\.4 s, which is less than the 1\.0 MiB\/s of --min-download-rate/,
    });
    assert.ok(sink.offset > 0 && sink.offset < lengths[size]);
    assert.equal(source.registry.asked.length, 1);
    source.registry.reset();
    await source.pull(size, { sink });
  });
}

for (const what of ['blob', 'manifest'] as const) {
  test(`a ${what} of unknown length that trickles in is ended`, async () => {
    const server = createServer((_, response) => {
      const timer = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(timer));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    try {
      await using client = openTestClient({ leastRate });
      const name = { registry: `127.0.0.1:${(server.address() as AddressInfo).port}`, path: 'x' };
      const pulling =
        what === 'blob'
          ? client.blob(name, source.blobs.small, openMemorySink(), anonymous, signal)
          : client.manifest(name, source.blobs.small, anonymous, signal);
      await assert.rejects(pulling, { message: /less than the 1\.0 MiB\/s of --min-download-rate/ });
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
}

test('skipped bytes count, and a blob that is fast enough is left alone', async () => {
  source.registry.fault(({ headers }) =>
    headers.range === undefined
      ? { kind: 'slow', bytesPerSecond: 4 * 1024 * 1024 }
      : { kind: 'status', status: 400 },
  );
  const sink = openMemorySink(source.bytes.large.subarray(0, 5_000_000));
  // Far below the real rate, also on a busy machine.
  await using client = openTestClient({ leastRate: { ...leastRate, bytesPerSecond: 128 * 1024 } });
  await client.blob(
    { registry: source.registry.host, path: source.path },
    source.blobs.large,
    sink,
    anonymous,
    signal,
  );
  assert.equal(sink.digest(), source.blobs.large.digest);
});
