import type { Report } from './report.ts';

const syncs = { before: 0, after: 0 };
const run = (contender: string, wall: number) => ({
  contender,
  wall,
  turn: 0,
  durable: wall,
  cpu: wall,
  registry: 0,
  peak: 1,
});
/** For the tests of what is made of a report. */
export const sampleReport: Report = {
  date: '2026-01-31',
  command: 'npm run bench',
  machine: { cpu: 'A', cores: 2, memory: 4, kernel: '6', node: '26', isVirtual: false, load: 0.1 },
  turns: 1,
  contenders: [
    { name: 'us', kind: 'ours', version: '1', makes: 'a volume', syncs },
    { name: 'a < b', kind: 'rival', version: '1', makes: 'files', syncs },
    { name: 'least', kind: 'floor', version: '', makes: 'the blobs', syncs },
  ],
  absent: [],
  races: [
    {
      kind: 'pull',
      name: '1x1GiB',
      title: 'A row',
      bar: { wall: 0.4, cpu: 0.5 },
      runs: [run('us', 1), run('a < b', 2), run('least', 0.5)],
    },
  ],
  figures: [
    {
      row: 'cached',
      what: 'a publish, median',
      value: 1.234,
      unit: 'ms',
      floor: { what: 'Probe', value: 0.5 },
      most: 3,
    },
    { row: 'shared', what: 'the daemon killed at half of 256 MB: downloaded', value: 99, unit: 'MB' },
    { row: 'idle', what: 'memory after a publish', value: 70.4, unit: 'MB', most: 60 },
  ],
};
