import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Prints the resident megabytes of files before and after the code pages are unmapped. With `written`, the first page of
 * the code was written to before, as a debugger does.
 */
const program = `
import { readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { libc } from '${import.meta.resolve('./libc.ts')}';
import { unmapCodePages } from '${import.meta.resolve('./code-pages.ts')}';
const ofFiles = () => Number(/RssFile:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1000;
const mappings = () => readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-)/m)
  .filter(text => / r-xp .* .*node\\n/.test(text));
const bytesOf = ([text]) => Number(/^Rss: +(\\d+) kB$/m.exec(text)[1]) / 1000;
if (process.argv[1] === 'written') {
  const start = BigInt('0x' + mappings()[0].split('-')[0]);
  const mprotect = libc.func('int mprotect(uintptr_t, size_t, int)');
  const memcpy = libc.func('void *memcpy(uintptr_t, uintptr_t, size_t)');
  if (mprotect(start, 4096n, 7) !== 0) throw new Error('mprotect');
  memcpy(start, start, 1n);
  mprotect(start, 4096n, 5);
}
const written = mappings().filter(text => !/^Anonymous: +0 kB$/m.test(text));
const before = { all: ofFiles(), written: written.length };
unmapCodePages();
const after = { all: ofFiles(), written: mappings().filter(text => !/^Anonymous: +0 kB$/m.test(text)).length };
const works = createHash('sha256').update('works').digest('hex');
console.log(JSON.stringify({ before, after, works }));
`;

type Seen = {
  readonly before: { readonly all: number; readonly written: number };
  readonly after: Seen['before'];
  readonly works: string;
};

async function measure(how: 'clean' | 'written'): Promise<Seen> {
  const { stdout } = await run(process.execPath, ['--input-type=module-typescript', '-e', program, how]);
  return JSON.parse(stdout) as Seen;
}

test('the pages of the code are unmapped, and mapped again by what is executed', async t => {
  const { before, after, works } = await measure('clean');
  t.diagnostic(JSON.stringify({ before, after }));
  assert.ok(after.all < before.all - 5, JSON.stringify({ before, after }));
  assert.equal(works.length, 64);
});

test('code that was written to stays as it is', async t => {
  const { before, after, works } = await measure('written');
  t.diagnostic(JSON.stringify({ before, after }));
  assert.ok(before.written > 0);
  assert.deepEqual(after.written, before.written);
  assert.equal(works.length, 64);
});
