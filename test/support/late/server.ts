/**
 * A process that serves a volume with one late file, and does what its parent says. A process that serves landings must
 * not read their volumes, and a test must be able to kill it.
 */
import { openSync, writeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { chunkEntries, endOf } from '../../../src/erofs/chunk-map.ts';
import { openDirectory, statDirectory } from '../../../src/linux/directory.ts';
import { createErofsMountInThread } from '../../../src/linux/erofs.ts';
import { rereadErofs } from '../../../src/linux/erofs-metadata.ts';
import { attachMount, detachMountInThread } from '../../../src/linux/mount.ts';
import { openLandings } from '../../../src/mount/landings.ts';
import type { OpenFile } from '../../../src/ports/late-views.ts';
import { shareRuns } from '../../../src/util/shared-run.ts';
import type { Command, Numbered, Policy, Served, Shape } from './commands.ts';
import { writeLateImage } from './image.ts';
import { patternAt } from './pattern.ts';

const shape = JSON.parse(process.argv[2] ?? '') as Shape;
const { directory, size, isDirect, timeoutSeconds } = shape;
const { map, roles } = writeLateImage(shape);
const [image, data, end] = (['image', 'data', 'end'] as const).map(name =>
  openSync(join(directory, name), name === 'image' ? 'r+' : 'w+'),
) as [number, number, number];

const present = new Set<number>();
let reads = 0;
let refused = 0;
let open = 0;
const waiting = new Set<() => void>();
let policy: Policy = { kind: 'wait' };

/** Writes the bytes of a chunk, and then shows it as present. */
function arrive(chunk: number): void {
  if (present.has(chunk)) return;
  const from = chunk * map.chunkSize;
  const bytes = patternAt(from, Math.min(map.chunkSize, size - from));
  writeSync(data, bytes, 0, bytes.length, from);
  const last = endOf(map);
  if (last?.from === from) {
    const padded = Buffer.concat([bytes, Buffer.alloc(last.paddedTo - last.to)]);
    writeSync(end, padded, 0, padded.length, from);
  }
  const entry = chunkEntries(map, { from: chunk, to: chunk + 1, isPresent: true });
  writeSync(image, entry.bytes, 0, entry.bytes.length, entry.at);
  present.add(chunk);
}

function openData(): OpenFile {
  open++;
  return { fd: data, [Symbol.dispose]: () => void open-- };
}

async function bring(offset: number, length: number): Promise<OpenFile> {
  reads++;
  while (policy.kind === 'wait') await new Promise<void>(resolve => waiting.add(resolve));
  if (policy.kind === 'refuse') throw new Error('refused');
  if (policy.kind === 'lie') return openData();
  const { delayMs, refusedShare } = policy;
  if (delayMs > 0) await sleep(Math.random() * delayMs);
  if (Math.random() < refusedShare) {
    refused++;
    throw new Error('refused at random');
  }
  const last = Math.floor((offset + length - 1) / map.chunkSize);
  for (let chunk = Math.floor(offset / map.chunkSize); chunk <= last; chunk++) arrive(chunk);
  await reread();
  return openData();
}

let device: string | undefined;
/** As the daemon, for a kernel that keeps the maps of images; others need not have this. */
const reread = shareRuns(async () => {
  if (device !== undefined) await rereadErofs(join(directory, 'image'), device).catch(() => {});
});

const landings = await openLandings({ timeoutSeconds });
const landing = landings.add({ size, bring }, 'file');
const devices = roles.map(kind => (kind === 'landing' ? landing.path : join(directory, kind)));
{
  using mount = await createErofsMountInThread({ image: join(directory, 'image'), devices, isDirect });
  ({ device } = statDirectory(mount));
  using parent = openDirectory(directory);
  attachMount(mount, parent, 'mount');
}

async function follow(command: Command): Promise<void> {
  switch (command.kind) {
    case 'policy':
      policy = command.policy;
      for (const go of waiting) go();
      return waiting.clear();
    case 'arrive':
      command.chunks.forEach(arrive);
      return await reread();
    case 'state':
      return;
    case 'end landing':
      return landing[Symbol.dispose]();
    case 'end landings':
      return await landings[Symbol.asyncDispose]();
    case 'unmount': {
      using parent = openDirectory(directory);
      await detachMountInThread(parent, 'mount');
      return;
    }
    case 'leave':
      setImmediate(leave, command.how);
  }
}

function leave(how: 'exit' | 'throw' | 'return'): void {
  if (how === 'exit') process.exit(7);
  if (how === 'throw') throw new Error('planted');
  process.disconnect?.(); // nothing else keeps it
}

function send(message: Served): void {
  process.send?.(message);
}

async function answer({ number, command }: Numbered): Promise<void> {
  await follow(command);
  const state = {
    reads,
    refused,
    waiting: waiting.size,
    open,
    present: present.size,
    failure: landings.failure(),
  };
  if (process.connected) send({ kind: 'done', number, state });
}

process.on('message', (told: Numbered) => void answer(told));
const { dev } = await stat(`${dirname(landing.path)}/.`);
send({ kind: 'serves', connection: dev });
