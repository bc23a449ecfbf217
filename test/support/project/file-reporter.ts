import { relative } from 'node:path';
import { inspect } from 'node:util';

/** An event of node:test ("Class: TestsStream"). */
export type TestEvent = { readonly type: string; readonly data: object };

/** The fields of an event that this reporter uses. */
type Data = {
  readonly name?: string;
  readonly file?: string;
  readonly message?: string;
  readonly success?: boolean;
  readonly duration_ms?: number;
  readonly counts?: { readonly tests: number; readonly skipped: number };
  readonly details?: {
    readonly error?: Error & { readonly failureType?: string; readonly exitCode?: number };
  };
};

/**
 * A reporter of node:test: a line for each file, each failure in full when it happens, and at the end the failures and
 * the totals. Of a file that runs twice, the failures of the last run are listed.
 */
export async function* reportFiles(root: string, events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const failures = new Map<string, string[]>();
  const totals: string[] = [];
  const reported = new Set<string | undefined>();
  for await (const { type, data } of events) {
    const event: Data = data;
    const file = event.file === undefined ? '' : relative(root, event.file);
    if (type === 'test:summary' && file !== '') {
      if (event.success) failures.delete(file);
      reported.delete(event.file);
      yield formatFile(file, event);
    } else if (type === 'test:stdout' || type === 'test:stderr') yield event.message ?? '';
    else if (type === 'test:diagnostic' && file === '') totals.push(`ℹ ${event.message}\n`);
    else if (type === 'test:fail') {
      // A suite, or a file as a whole, fails with its tests, which are events of their own.
      const isWhole = event.name === event.file;
      if (event.details?.error?.failureType === 'subtestsFailed' || (isWhole && reported.has(event.file)))
        continue;
      reported.add(event.file);
      const what = isWhole ? `${file} ended by itself` : `${file}: ${event.name}`;
      failures.set(file, [...(failures.get(file) ?? []), what]);
      yield `\nFAILED ${what}\n${explain(event)}\n\n`;
    }
  }
  const listed = [...new Set([...failures.values()].flat())];
  if (listed.length > 0) yield `\nfailed:\n${listed.map(failure => `  ${failure}\n`).join('')}`;
  yield* totals;
}

function formatFile(file: string, { success, counts, duration_ms: ms = 0 }: Data): string {
  const skipped = counts?.skipped ? `, ${counts.skipped} skipped` : '';
  const seconds = `${(ms / 1000).toFixed(1)} s`;
  return `${success ? 'ok  ' : 'FAIL'} ${seconds.padStart(8)}  ${file} (${counts?.tests ?? 0} tests${skipped})\n`;
}

function explain({ details }: Data): string {
  const { error } = details ?? {};
  if (error?.exitCode !== undefined) return `exit code ${error.exitCode}`;
  return inspect(error?.cause ?? error);
}
