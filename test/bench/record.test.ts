import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readReport, reportPath, toFiles } from './record.ts';
import { rows } from './rows.ts';

const inRoot = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

test('the documents have the figures of the recorded report, and none without one', () => {
  if (!existsSync(reportPath)) {
    assert.ok(!existsSync(inRoot('docs/performance.md')));
    return;
  }
  const report = readReport(reportPath);
  assert.match(report.command, /^npm run bench -- .*--record/);
  assert.deepEqual(
    report.races.map(({ name }) => name),
    rows(false).flatMap(({ pulls, reads }) => [...pulls, ...reads].map(({ name }) => name)),
  );
  for (const [path, text] of Object.entries(toFiles(report)))
    assert.equal(readFileSync(inRoot(path), 'utf8'), text, path);
});
