import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, afterEach, before, test } from 'node:test';
import { waitUntil } from '../support/node/child.ts';
import { type ObjectServer, openObjectServer } from '../support/node/object-server.ts';
import { needs } from '../support/project/tools.ts';
import { openDoor } from './door.ts';
import {
  type Artifact,
  type Equipment,
  type Fleet,
  type Member,
  measure,
  mountOnce,
  openFleet,
  type Place,
  type Row,
  untilSent,
} from './fleet.ts';
import { type Peer, peerPort, socketOf, startPeer } from './peer.ts';
import { formatRows, type NamedRow } from './rows.ts';

/**
 * Eight nodes that share what they have by --containerd-socket and a mirror on each, and take turns at the registry by
 * --origin-slots.
 */

const MiB = 2 ** 20;
const nodes = 8;
const [layers, layerBytes] = [2, 16 * MiB];
/** Bytes per second of each stream of the origin, so that a pull takes some seconds. */
const slow = 4 * MiB;

let api: ObjectServer;
/** The ways of the nodes to the API. */
const doors: AsyncDisposable[] = [];
let fleet: Fleet;
/** The mirrors, in no order. */
const peers: Peer[] = [];
const rows: NamedRow[] = [];

const peered = (): string =>
  `[host."http://127.0.0.1:${peerPort}"]\ncapabilities = ["pull"]\ndial_timeout = "1s"\n`;
const registries = {
  'later.test': peered,
  'at-once.test': peered,
  'api-dies.test': peered,
  'api-dead.test': peered,
};

async function equip(place: Place): Promise<Equipment> {
  const { clusters } = JSON.parse(await readFile(api.kubeconfig, 'utf8'));
  doors.push(await openDoor(place.host, Number(new URL(clusters[0].cluster.server).port)));
  const globs = Object.keys(registries).map(registry => `${registry}/**`);
  const flags = {
    '--containerd-socket': socketOf(place),
    '--share': globs.join(','),
    '--origin-slots': '1',
  };
  const peer = await startPeer(place);
  peers.push(peer);
  return { ...peer, flags, env: { KUBECONFIG: api.kubeconfig } };
}

async function endApi(): Promise<void> {
  await Promise.all(doors.map(door => door[Symbol.asyncDispose]()));
}

before(async () => {
  api = await openObjectServer();
  fleet = await openFleet({ nodes, registries, equip });
});
afterEach(() => fleet.origin.fault(() => undefined));
after(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await endApi();
  await api?.[Symbol.asyncDispose]();
  console.log(formatRows('eight nodes with peers', rows));
});

async function row(
  name: string,
  artifact: Artifact,
  {
    members = fleet.members,
    meanwhile,
  }: { members?: readonly Member[]; meanwhile?: () => Promise<void> } = {},
): Promise<Row> {
  fleet.origin.fault(({ path }) =>
    path.includes('/blobs/') ? { kind: 'slow', bytesPerSecond: slow } : undefined,
  );
  const measured = await measure({ ...fleet, members }, artifact, meanwhile);
  rows.push([name, measured]);
  return measured;
}

/** Waits until each mirror gives what one node has. */
async function untilShared({ daemon }: Member, { layers: digests }: Artifact): Promise<void> {
  for (const { gives } of peers) await waitUntil(daemon(), () => gives(digests), 'given by each mirror');
}

test('nodes that come later get everything from the first one', needs('root', 'ip'), async () => {
  const artifact = await fleet.push('later.test', layers, layerBytes);
  const [first, ...others] = fleet.members;
  assert.ok(first !== undefined);
  await mountOnce(first, artifact);
  await untilShared(first, artifact);
  const { copies } = await row('peers; one node has it, the others start at once', artifact, {
    members: others,
  });
  assert.ok(copies <= 1.1, `${copies} copies`);
});

test(
  'nodes that start at once take turns at the registry, and one copy is enough',
  needs('root', 'ip'),
  async () => {
    const artifact = await fleet.push('at-once.test', layers, layerBytes);
    const { copies } = await row('peers, and one slot', artifact);
    assert.ok(copies <= 1.1, `${copies} copies`);
    const writes = api.asked.filter(({ method, url }) => method === 'POST' && url.includes('/leases'));
    assert.ok(writes.length > 0);
  },
);

test('an API server that dies in mid-pull fails no publish', needs('root', 'ip'), async () => {
  const artifact = await fleet.push('api-dies.test', layers, layerBytes);
  const meanwhile = async (): Promise<void> => {
    await untilSent(fleet, artifact, 0.3);
    await endApi();
  };
  const { copies } = await row('peers, and one slot; the API server dies in mid-pull', artifact, {
    meanwhile,
  });
  assert.ok(copies < nodes + 0.1, `${copies} copies`);
});

test('an API server that is away fails no publish', needs('root', 'ip'), async () => {
  const artifact = await fleet.push('api-dead.test', layers, layerBytes);
  const { copies } = await row('peers, and one slot; there is no API server', artifact);
  assert.ok(copies < nodes + 0.1, `${copies} copies`);
});
