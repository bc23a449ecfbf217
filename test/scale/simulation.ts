import { fileURLToPath } from 'node:url';
import { openRandom } from '../support/os/random.ts';
import { readOptions } from '../tools/usage.ts';
import { type Crowd, type Finish, type Peers, runPeers, runRacks } from './crowd.ts';

/**
 * `node test/scale/simulation.ts [--nodes 1000 --gigabytes 100 --origin 10 --link 10]`: when the last of many nodes has
 * an artifact, and how many copies its registry sends, by what is between them. `--origin` and `--link` are Gbit/s of
 * the registry and of each node. docs/scale.md states what it assumes.
 */

/** Gbit/s and gigabytes. */
export type Setting = {
  readonly nodes: number;
  readonly gigabytes: number;
  readonly origin: number;
  readonly link: number;
};

export const usualSetting: Setting = { nodes: 1000, gigabytes: 100, origin: 10, link: 10 };

const GB = 1e9;
const bytesOf = (gigabits: number): number => (gigabits / 8) * GB;
/** The downloads of one artifact that the driver has at a time. */
const slots = 6;
const nodesOfRack = 40;

/** The rows of the table, each with what is between the nodes and the registry. */
export function simulate(setting: Setting): readonly (readonly [name: string, finish: Finish])[] {
  const crowdOf = (parts: number): Crowd => ({
    nodes: setting.nodes,
    parts,
    partBytes: (setting.gigabytes * GB) / parts,
    slots,
    origin: bytesOf(setting.origin),
    link: bytesOf(setting.link),
  });
  const whole: Peers = {
    upload: bytesOf(setting.link),
    serves: 6,
    gate: Infinity,
    shuffled: false,
    spread: 0,
  };
  const peers = (parts: number, changes: Partial<Peers> = {}): Finish =>
    runPeers(crowdOf(parts), { ...whole, ...changes }, openRandom(1));
  const racks = (sends: number, above?: number, streams = true): Finish =>
    runRacks(crowdOf(100), {
      caches: Math.ceil(setting.nodes / nodesOfRack),
      sends: bytesOf(sends),
      above: above === undefined ? undefined : bytesOf(above),
      streams,
    });
  return [
    ['nothing', runPeers(crowdOf(13), undefined, openRandom(1))],
    ['peers that serve whole layers, 13 of 7.7 GB', peers(13)],
    ['the same, the nodes start within 10 min', peers(13, { spread: 600 })],
    ['the same, each node takes the layers in an order of its own', peers(13, { shuffled: true })],
    ['the same, and at most 6 streams from the registry', peers(13, { shuffled: true, gate: 6 })],
    ['50 layers of 2 GB, at most 8 streams from the registry', peers(50, { shuffled: true, gate: 8 })],
    ['peers that serve pieces, 100 of 1 GB, at most 8 streams', peers(100, { shuffled: true, gate: 8 })],
    [
      'the same, each node sends at most 2 Gbit/s',
      peers(100, { shuffled: true, gate: 8, upload: bytesOf(2) }),
    ],
    ['a cache of 25 Gbit/s for 40 nodes, which fetches each part once', racks(25)],
    ['the same, and sends nothing before a part is whole', racks(25, undefined, false)],
    ['the first of these, behind one cache of 100 Gbit/s for all', racks(25, 100)],
    ['the same, with caches of 100 Gbit/s for 40 nodes', racks(100, 100)],
  ];
}

/** A row as docs/scale.md has it. */
export function formatFinish([name, { seconds, copies }]: readonly [name: string, finish: Finish]): string {
  return `| ${name} | ${formatTime(seconds)} | ${copies < 10 ? copies.toFixed(1) : copies.toFixed(0)} |`;
}

function formatTime(seconds: number): string {
  return seconds < 3600
    ? `${(seconds / 60).toFixed(seconds < 600 ? 1 : 0)} min`
    : `${(seconds / 3600).toFixed(1)} h`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const usage =
    'node test/scale/simulation.ts [--nodes <count> --gigabytes <size> --origin <Gbit/s> --link <Gbit/s>]';
  const given = readOptions(usage, {
    nodes: { type: 'string', default: String(usualSetting.nodes) },
    gigabytes: { type: 'string', default: String(usualSetting.gigabytes) },
    origin: { type: 'string', default: String(usualSetting.origin) },
    link: { type: 'string', default: String(usualSetting.link) },
  });
  const setting = {
    nodes: Number(given.nodes),
    gigabytes: Number(given.gigabytes),
    origin: Number(given.origin),
    link: Number(given.link),
  };
  if (!(Number.isInteger(setting.nodes) && Object.values(setting).every(value => value > 0))) {
    console.error(`usage: ${usage}`);
    process.exit(2);
  }
  console.log(
    '| between the nodes and the registry | the last node | copies from the registry |\n|---|---|---|',
  );
  for (const row of simulate(setting)) console.log(formatFinish(row));
}
