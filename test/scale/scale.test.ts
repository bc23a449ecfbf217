import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import type { NetworkHost } from '../support/os/network.ts';
import { needs } from '../support/project/tools.ts';
import { nginxPort, startNginxCache } from '../support/registry/nginx.ts';
import { type Artifact, type Fleet, measure, openFleet, type Row, untilSent } from './fleet.ts';
import { formatRows, type NamedRow } from './rows.ts';

/** Eight nodes that start the same artifact at once, and what its registry sends for that. */

const MiB = 2 ** 20;
const nodes = 8;
const [layers, layerBytes] = [2, 16 * MiB];
/** Bytes per second of each stream of the origin, where something happens in mid-pull. */
const slow = 8 * MiB;

let fleet: Fleet;
const rows: NamedRow[] = [];

const direct = (): string => '';
const cached = ({ address }: NetworkHost): string =>
  `[host."http://${address}:${nginxPort}"]\ncapabilities = ["pull"]\ndial_timeout = "1s"\n`;
const registries = {
  'direct.test': direct,
  'cached.test': cached,
  'cached-node-dies.test': cached,
  'cached-cache-dies.test': cached,
  'refusing.test': direct,
};

before(async () => {
  fleet = await openFleet({ nodes, registries });
});
afterEach(() => fleet.origin.fault(() => undefined));
after(async () => {
  await fleet?.[Symbol.asyncDispose]();
  console.log(formatRows('eight nodes at once', rows));
});

async function row(name: string, artifact: Artifact, meanwhile?: () => Promise<void>): Promise<Row> {
  const measured = await measure(fleet, artifact, meanwhile);
  rows.push([name, measured]);
  return measured;
}

function slowBlobs(): void {
  fleet.origin.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: slow } : undefined,
  );
}

test('without anything the registry sends a copy to each node', needs('root', 'ip'), async () => {
  const { copies } = await row('nothing', await fleet.push('direct.test', layers, layerBytes / 4));
  assert.equal(Math.round(copies), nodes);
});

test(
  'a cache that fetches slices once costs the registry one copy',
  needs('root', 'ip', 'nginx'),
  async () => {
    await using _cache = await startNginxCache(fleet.cache, fleet.origin.host);
    const { copies } = await row('nginx', await fleet.push('cached.test', layers, layerBytes));
    assert.ok(copies <= 1.1, `${copies} copies`);
  },
);

test(
  'a daemon that is killed in mid-pull goes on where it stopped',
  needs('root', 'ip', 'nginx'),
  async () => {
    await using _cache = await startNginxCache(fleet.cache, fleet.origin.host);
    const artifact = await fleet.push('cached-node-dies.test', layers, layerBytes);
    slowBlobs();
    const { copies } = await row('nginx; a node is killed in mid-pull', artifact, async () => {
      await untilSent(fleet, artifact, 0.8);
      await fleet.members[0]?.restart();
    });
    assert.ok(copies <= 1.1, `${copies} copies`);
  },
);

test(
  'a cache that dies in mid-pull leaves each node its own rest',
  needs('root', 'ip', 'nginx'),
  async () => {
    await using cache = await startNginxCache(fleet.cache, fleet.origin.host);
    const artifact = await fleet.push('cached-cache-dies.test', layers, layerBytes);
    slowBlobs();
    const { copies } = await row('nginx; it is killed in mid-pull', artifact, async () => {
      await untilSent(fleet, artifact, 0.8);
      await cache.end('SIGKILL');
    });
    // What the cache took for all, and at most what each node lacked then.
    assert.ok(copies <= nodes + 1, `${copies} copies`);
  },
);

test('a registry that refuses most streams is waited for', needs('root', 'ip'), async () => {
  const most = 4;
  let refused = 0;
  const artifact = await fleet.push('refusing.test', 1, layerBytes / 4);
  fleet.origin.fault(({ path }) => {
    if (!path.includes('/blobs/')) return undefined;
    if (fleet.origin.streams('/blobs/') < most) return { kind: 'slow', bytesPerSecond: slow };
    refused++;
    return { kind: 'status', status: 429, retryAfter: '6' };
  });
  const measured = await measure(fleet, artifact);
  rows.push([`nothing; the registry allows ${most} streams, Retry-After: 6`, { ...measured, refused }]);
  assert.ok(refused > 0);
  assert.equal(Math.round(measured.copies), nodes);
});
