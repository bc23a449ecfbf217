import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openEventClock, openFluidSource } from './fluid.ts';
import { formatFinish, simulate, usualSetting } from './simulation.ts';

test('the streams of a source share its rate, and each ends when it has its part', () => {
  const clock = openEventClock();
  const source = openFluidSource(clock, 100, 10, 8);
  const ends: number[] = [];
  const send = (): void => source.send(() => ends.push(clock.now()));
  send(); // alone at 8 per second for 5 s, then at 5 per second
  clock.at(5, send);
  clock.run();
  assert.deepEqual(ends, [17, 5 + 12 + (100 - 60) / 8]);
  assert.equal(source.sent(), 2);
});

test('docs/scale.md has the table of the simulation', { timeout: 300_000 }, () => {
  const text = readFileSync(new URL('../../docs/scale.md', import.meta.url), 'utf8');
  const lines = simulate(usualSetting).map(formatFinish);
  const start = text.indexOf(lines[0] ?? '');
  assert.equal(text.slice(start, start + lines.join('\n').length), lines.join('\n'));
});
