import assert from 'node:assert/strict';
import { linkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { toDigest } from '../../oci/digest.ts';
import type { Item } from '../../ports/store.ts';
import { type EvidenceStore, type FilesOf, openEvidence } from './evidence.ts';

const directory = await temporaryDirectory();
after(() => directory[Symbol.asyncDispose]());
const never = new AbortController().signal;
const right = async (): Promise<undefined> => undefined;

let made = 0;
/** A blob of its own, and evidence that writes to `lines`. Each time is one of `clock`. */
function openWorld() {
  const name = String(++made).padStart(64, '0');
  const item: Item = { kind: 'blobs', digest: toDigest('sha256', name) };
  const path = join(directory.path, name);
  writeFileSync(path, 'right');
  const filesOf: FilesOf = () => ({ count: 1, files: [[directory.path, name]] });
  const lines = new Map<string, string>();
  const clock = { now: 1_000 };
  const open = (closed: boolean): EvidenceStore => {
    const journal = {
      lines: new Map(lines),
      closed,
      put: (key: string, value: string) => void (value === '' ? lines.delete(key) : lines.set(key, value)),
      close: async () => undefined,
    };
    return openEvidence(journal, filesOf, () => clock.now);
  };
  const stateOf = async (evidence: EvidenceStore, since = 500) =>
    (await evidence.states([item], since, never))[0];
  /** The kernel's clock has a granularity. */
  const tamper = async (): Promise<void> => {
    await sleep(10);
    writeFileSync(path, 'wrong', { flag: 'r+' });
  };
  return { item, path, lines, clock, open, stateOf, tamper };
}

test('content that was never verified is unknown, and missing content absent', async () => {
  const { open, stateOf, path } = openWorld();
  const evidence = open(true);
  assert.equal(await stateOf(evidence), 'unknown');
  rmSync(path);
  assert.equal(await stateOf(evidence), 'absent');
});

for (const [what, come] of [
  ['arrived', async (evidence: EvidenceStore, item: Item) => evidence.arrived(item)],
  ['was verified', (evidence: EvidenceStore, item: Item) => evidence.verify(item, right, never)],
] as const) {
  test(`${what} counts as verified until it is stale, changed or removed`, async () => {
    const { open, stateOf, item, path, tamper } = openWorld();
    const evidence = open(true);
    await come(evidence, item);
    await evidence.settle([item]);
    assert.equal(await stateOf(evidence), 'verified');
    assert.equal(await stateOf(evidence, 1_001), 'stale');
    await tamper();
    assert.equal(await stateOf(evidence), 'changed');
    rmSync(path);
    assert.equal(await stateOf(evidence), 'changed');
    evidence.forget(item);
    assert.equal(await stateOf(evidence), 'absent');
  });
}

test('presumed content is stale at once, and its changes are detected', async () => {
  const { open, stateOf, item, tamper } = openWorld();
  const evidence = open(true);
  await evidence.presume(item, never);
  assert.equal(await stateOf(evidence, 0), 'stale');
  await tamper();
  assert.equal(await stateOf(evidence, 0), 'changed');
});

for (const [what, closed, found] of [
  ['a clean stop keeps', true, 'verified'],
  ['an unclean stop makes stale', false, 'stale'],
] as const) {
  test(`${what} what was verified`, async () => {
    const { open, stateOf, item, tamper } = openWorld();
    await open(true).verify(item, right, never);
    const next = open(closed);
    assert.equal(await stateOf(next, 0), found);
    assert.equal(next.verifiedAt(item), closed ? 1_000 : 0);
    await tamper();
    assert.equal(await stateOf(next, 0), 'changed');
  });
}

test('a time in the future and a torn line are ignored', async () => {
  const { open, stateOf, item, clock, lines } = openWorld();
  await open(true).verify(item, right, never);
  clock.now = 900;
  assert.equal(await stateOf(open(true), 0), 'stale');
  for (const [key, line] of lines) lines.set(key, line.slice(0, 40));
  assert.equal(await stateOf(open(true), 0), 'unknown');
});

test('content that is wrong, or changes during verification, is not recorded', async () => {
  const { open, stateOf, item, tamper } = openWorld();
  const evidence = open(true);
  assert.equal(await evidence.verify(item, async () => 'wrong bytes', never), 'wrong bytes');
  assert.equal(await stateOf(evidence), 'unknown');
  await evidence.verify(item, tamper as () => Promise<undefined>, never);
  assert.equal(await stateOf(evidence), 'unknown');
});

test('links made by this program do not count as a change, and a write in between does', async () => {
  const { open, stateOf, item, path, tamper } = openWorld();
  const evidence = open(true);
  await evidence.verify(item, right, never);
  await sleep(10);
  await evidence.relink([item], async () => {
    linkSync(path, `${path}.link`);
    assert.equal(await stateOf(evidence), 'verified');
  });
  assert.equal(await stateOf(evidence), 'verified');
  await evidence.relink([item], tamper);
  assert.equal(await stateOf(evidence), 'changed');
  await evidence.relink([item], async () => rmSync(`${path}.link`));
  assert.equal(await stateOf(evidence), 'changed', 'nor does relinking make it good');
});
