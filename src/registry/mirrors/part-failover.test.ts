import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, beforeEach, test } from 'node:test';
import { sha256 } from '../../../test/support/oci/tar.ts';
import { type FaultyRegistry, openFaultyRegistry } from '../../../test/support/registry/faulty-registry.ts';
import { anonymous, openMemorySink, openTestClient } from '../../../test/support/registry/registry-client.ts';
import { ArtifactError } from '../../util/error.ts';
import type { RegistryOptions } from '../client.ts';
import { toUpstream, type Upstream } from '../config/route.ts';

const { signal } = new AbortController();
const name = { registry: 'hub.example', path: 'team/model' };
const bytes = randomBytes(3_000_000);
const [from, to] = [1_000_000, 2_500_000];
const right = sha256(bytes.subarray(from, to));
const [first, second, home] = await Promise.all([1, 2, 3].map(() => openFaultyRegistry()));
assert.ok(first && second && home);
const all: readonly FaultyRegistry[] = [first, second, home];
const [descriptor] =
  (await Promise.all(all.map(each => each.push(name.path, 'v1', [{ bytes }]))))[0]?.layers ?? [];
assert.ok(descriptor);

beforeEach(() => all.forEach(registry => registry.reset()));
after(async () => {
  for (const registry of all) await registry[Symbol.asyncDispose]();
});

const at = ({ host }: FaultyRegistry, over: Partial<Upstream> = {}): Upstream => ({
  ...toUpstream({ host, path: name.path, insecure: true }),
  scheme: 'http',
  ...over,
});

/** Fetches the part by two mirrors, and says who sent it, who was asked how often, and who rests. */
async function fetchPart(options: Partial<RegistryOptions> = {}) {
  const mirrorOf = name.registry;
  const mirrors = [at(first as FaultyRegistry, { mirrorOf }), at(second as FaultyRegistry, { mirrorOf })];
  const resting: string[] = [];
  await using client = openTestClient({
    route: () => ({ mirrors, last: at(home as FaultyRegistry) }),
    onRest: mirror => void resting.push(JSON.stringify(mirror)),
    ...options,
  });
  const sink = openMemorySink();
  const verify = async (): Promise<void> => {
    if (sink.digest() === right) return;
    sink.restart();
    throw new ArtifactError('corrupt', 'these are other bytes');
  };
  const range = { descriptor: descriptor as NonNullable<typeof descriptor>, from, to };
  const part = Object.assign(sink, { verify });
  const servedBy = await client.part(name, range, part, anonymous, signal);
  const asked = all.map(registry => registry.asked.length);
  return { servedBy, asked, resting, isRight: sink.digest() === right };
}

test('a part comes from the first mirror that sends right bytes, and one with wrong bytes rests', async () => {
  first.fault(() => ({ kind: 'wrong-bytes' }));
  const { servedBy, asked, resting, isRight } = await fetchPart();
  assert.equal(servedBy?.mirrorOf, name.registry);
  assert.deepEqual([asked, isRight, resting.length], [[1, 1, 0], true, 1]);
});

test('no mirror rests if nobody sends what is wanted: what it is compared with may be wrong', async () => {
  for (const registry of all) registry.fault(() => ({ kind: 'wrong-bytes' }));
  const resting: unknown[] = [];
  await assert.rejects(fetchPart({ onRest: mirror => void resting.push(mirror) }), {
    code: 'corrupt',
    message: /other bytes/,
  });
  assert.deepEqual(resting, []);
});

test('a mirror without ranges does not rest, and a registry without them is no error', async () => {
  first.fault(() => ({ kind: 'no-range' }));
  second.fault(() => ({ kind: 'no-range' }));
  const { servedBy, asked, resting, isRight } = await fetchPart();
  assert.ok(servedBy !== undefined && servedBy.mirrorOf === undefined);
  assert.deepEqual([asked, resting, isRight], [[1, 1, 1], [], true]);
  home.fault(() => ({ kind: 'no-range' }));
  assert.equal((await fetchPart()).servedBy, undefined);
});

test('an interrupted part goes on where it ended', async () => {
  for (const registry of [first, second]) registry.fault(() => ({ kind: 'status', status: 404 }));
  home.fault(({ nth }) => (nth === 1 ? { kind: 'cut', after: 500_000 } : undefined));
  const { isRight } = await fetchPart();
  assert.ok(isRight);
  const ranges = home.asked.map(({ headers }) => headers.range);
  assert.equal(ranges.length, 2);
  const [, start] = /^bytes=(\d+)-2499999$/.exec(ranges[1] ?? '') ?? [];
  assert.ok(Number(start) > from);
});

test('a registry that sends a byte of a part for each request is waited for, then abandoned', async () => {
  for (const registry of [first, second]) registry.fault(() => ({ kind: 'status', status: 404 }));
  home.fault(() => ({ kind: 'cut', after: 1 }));
  await assert.rejects(fetchPart(), { code: 'unavailable', message: /gave up after 9 tries in 30 s/ });
  assert.equal(home.asked.length, 17);
});
