import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeLease } from '../ports/kube-objects.ts';
import { createLeaseReturns } from './lease-returns.ts';

const { signal } = new AbortController();

/** Leases that cannot be released, and the times at which that was tried. */
function openWorld() {
  const clock = { at: 0 };
  const tried: string[] = [];
  const returns = createLeaseReturns(() => clock.at);
  const leaseOf = (name: string) =>
    ({
      async release() {
        tried.push(`${name} ${clock.at / 1_000}`);
        throw new Error('the API failed');
      },
    }) as unknown as NodeLease;
  const passUntil = async (ms: number): Promise<void> => {
    for (; clock.at <= ms; clock.at += 1_000) await returns.tryNext(signal);
  };
  return { tried, returns, leaseOf, passUntil };
}

test('a return is tried again after waits that double, up to ten minutes', async () => {
  const { tried, returns, leaseOf, passUntil } = openWorld();
  returns.add(leaseOf('a'));
  await passUntil(2_500_000);
  assert.deepEqual(
    tried,
    [5, 15, 35, 75, 155, 315, 635, 1_235, 1_835, 2_435].map(at => `a ${at}`),
  );
});

test('returns have their turns by the time for which they have been due, one at a time', async () => {
  const { tried, returns, leaseOf, passUntil } = openWorld();
  for (const name of ['a', 'b']) returns.add(leaseOf(name));
  await passUntil(20_000);
  assert.deepEqual(tried, ['a 5', 'b 6', 'a 15', 'b 16']);
});

test('the latest returns are kept, and the oldest is forgotten for a new one', () => {
  const { returns, leaseOf } = openWorld();
  const leases = Array.from({ length: 300 }, (_, nth) => leaseOf(`${nth}`));
  for (const lease of leases) returns.add(lease);
  assert.deepEqual(returns.all(), leases.slice(-256));
});
