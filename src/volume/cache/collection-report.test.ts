import assert from 'node:assert/strict';
import { test } from 'node:test';
import { digest } from '../../../test/support/node/samples.ts';
import type { Pruned } from '../../ports/usecases.ts';
import { reportCollections } from './collection-report.ts';
import type { Collector } from './collector.ts';

const never = new AbortController().signal;

async function reportsOf(pruned: Pruned): Promise<readonly unknown[]> {
  const reports: unknown[] = [];
  const collector = { collect: async () => pruned } as unknown as Collector;
  const reporting = reportCollections(collector, (...report) => reports.push(report));
  assert.equal(
    await reporting.collect(async () => false, never, 'the disk is above --cache-high (75)'),
    pruned,
  );
  return reports;
}

test('a collection that frees something is reported with the references that are gone, each once', async () => {
  const items = [
    { reference: 'registry.example/tiny:1', digest, bytes: 1024 },
    { reference: 'registry.example/tiny:1', digest, bytes: 1024 },
    { digest, bytes: 1024 },
  ];
  assert.deepEqual(await reportsOf({ artifacts: 1, bytes: 3072, items }), [
    [
      { artifacts: 1, bytes: 3072, references: ['registry.example/tiny:1'] },
      'garbage collection freed 3.0 KiB: the disk is above --cache-high (75)',
    ],
  ]);
  const many = Array.from({ length: 50 }, (_, index) => ({ reference: `r/${index}`, digest, bytes: 1 }));
  assert.partialDeepStrictEqual(await reportsOf({ artifacts: 50, bytes: 50, items: many }), [
    [{ references: many.slice(0, 20).map(({ reference }) => reference) }],
  ]);
});

test('a collection that frees nothing is not reported', async () => {
  assert.deepEqual(await reportsOf({ artifacts: 0, bytes: 0, items: [] }), []);
});
