import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entrant, Race } from './report.ts';
import { judge, percentile } from './standing.ts';

const entrant = (name: string, kind: Entrant['kind'], makes = 'files'): Entrant => ({
  name,
  kind,
  version: '1',
  makes,
  syncs: { before: 0, after: 0 },
});
const entrants = [
  entrant('us', 'ours'),
  entrant('slow', 'rival'),
  entrant('fast', 'rival'),
  entrant('absent', 'rival'),
  entrant('receive', 'floor', 'nothing'),
  entrant('write', 'floor'),
];
const walls = { us: [1, 3, 2], slow: [9, 9, 9], fast: [2, 4, 4], receive: [0.5, 0.5, 0.5], write: [1, 1, 1] };
const runs = Object.entries(walls).flatMap(([contender, times]) =>
  times.map((wall, turn) => ({
    contender,
    turn,
    wall,
    durable: wall,
    cpu: wall / 2,
    registry: 1,
    peak: turn,
  })),
);
const race = (bar: Required<Race>['bar']): Race => ({ kind: 'pull', name: 'row', title: 'A row', bar, runs });

test('the driver is compared turn by turn with the rival whose median is the least', () => {
  const { ours, rivals, floors, wall, cpu } = judge(race({ wall: 1 }), entrants);
  assert.equal(ours.wall, 2);
  assert.equal(ours.peak, 2);
  assert.deepEqual(
    [rivals, floors].map(list => list.map(standing => standing.entrant.name)),
    [
      ['fast', 'slow'],
      ['receive', 'write'],
    ],
  );
  assert.deepEqual(wall, { median: 0.5, least: 0.5, most: 0.75 });
  assert.equal(cpu.median, 0.5);
});

test('a bar is met by the ratio, or near the floor that does most', () => {
  const metBy = (race: Race) => judge(race, entrants).goals.map(({ what, metBy }) => [what, metBy]);
  assert.deepEqual(metBy(race({ wall: 0.5, cpu: 0.5 })), [
    ['wall', 'ratio'],
    ['cpu', 'ratio'],
  ]);
  assert.deepEqual(metBy(race({ wall: 0.4, cpu: 0.5 })), [
    ['wall', undefined],
    ['cpu', 'ratio'],
  ]);
  const near = {
    ...race({ wall: 0.2 }),
    runs: runs.map(run => (run.contender === 'us' ? { ...run, wall: 1.1 } : run)),
  };
  assert.deepEqual(metBy(near), [['wall', 'floor']]);
});

test('a race of the driver alone has no verdict', () => {
  assert.throws(() => judge(race({ wall: 1 }), entrants.slice(0, 1)), /nobody to compare/);
});

test('a percentile is a value of the list', () => {
  assert.equal(percentile([3, 1, 2], 0.5), 2);
  assert.equal(percentile([3, 1, 2], 0.99), 3);
  assert.equal(percentile([3, 1, 2], 0), 1);
});
