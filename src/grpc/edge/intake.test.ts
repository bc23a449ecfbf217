import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRequestTurns, type Incoming, type RequestTurns } from './intake.ts';

type Fake = Incoming & { state: 'read' | 'paused' | 'ended' };

function openFake(): Fake {
  const fake: Fake = {
    state: 'read',
    pause: () => void (fake.state = 'paused'),
    resume: () => void (fake.state = 'read'),
    end: () => void (fake.state = 'ended'),
  };
  return fake;
}

const states = (fakes: readonly Fake[]): string => fakes.map(fake => fake.state[0]).join('');

/** Requests of which each has sent 10 bytes. */
function fill(turns: RequestTurns, count: number): Fake[] {
  const fakes = Array.from({ length: count }, openFake);
  for (const fake of fakes) turns.add(fake, 10);
  return fakes;
}

const bounds = { held: 30, turns: 2, turnMs: 40 };

test('requests below the bound are read as they come', () => {
  const turns = createRequestTurns(bounds);
  assert.equal(states(fill(turns, 3)), 'rrr');
});

test('above the bound a few are read at a time, oldest first, and the others wait', () => {
  const turns = createRequestTurns(bounds);
  const fakes = fill(turns, 8);
  assert.equal(states(fakes), 'rrrrrppp');
  for (const fake of fakes.slice(3, 5)) turns.leave(fake);
  assert.equal(states(fakes), 'rrrrrrrp');
  for (const fake of fakes.slice(5, 7)) turns.leave(fake);
  assert.equal(states(fakes), 'rrrrrrrr');
});

test('freed memory lets all waiting requests continue', () => {
  const turns = createRequestTurns(bounds);
  const fakes = fill(turns, 8);
  for (const fake of fakes.slice(0, 5)) turns.leave(fake);
  assert.equal(states(fakes), 'rrrrrrrr');
});

test('unfinished requests are ended while others wait', async () => {
  const turns = createRequestTurns(bounds);
  const fakes = fill(turns, 6);
  assert.equal(states(fakes), 'rrrrrp');
  await sleep(200);
  assert.equal(states(fakes), 'eeeeer');
  await sleep(200);
  assert.equal(states(fakes), 'eeeeer');
});

test('a request that has a turn may send as much as it will', () => {
  const turns = createRequestTurns(bounds);
  const fakes = fill(turns, 5);
  const last = fakes[4] ?? openFake();
  turns.add(last, 1000);
  assert.equal(states(fakes), 'rrrrr');
});
