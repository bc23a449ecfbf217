import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { toChart } from './chart.ts';
import { captionOf, toDocument } from './document.ts';
import { withFigures } from './readme.ts';
import type { Report } from './report.ts';

const root = new URL('../../', import.meta.url);

/** Where the last report is kept. */
export const reportPath: string = fileURLToPath(new URL('docs/performance.json', root));

export function readReport(path: string): Report {
  return JSON.parse(readFileSync(path, 'utf8')) as Report;
}

/** What is made of a report: the content of files, by their paths from the root of the project. */
export function toFiles(report: Report): Readonly<Record<string, string>> {
  return {
    'docs/performance.md': toDocument(report),
    'docs/performance.svg': toChart(report, captionOf(report)),
    'README.md': withFigures(readFileSync(new URL('README.md', root), 'utf8'), report),
  };
}

/** Writes a report and what is made of it. */
export function record(report: Report): void {
  const rounded = (_: string, value: unknown) =>
    typeof value === 'number' ? Math.round(value * 1000) / 1000 : value;
  writeFileSync(reportPath, `${JSON.stringify(report, rounded, 1)}\n`);
  for (const [path, text] of Object.entries(toFiles(readReport(reportPath))))
    writeFileSync(new URL(path, root), text);
}
