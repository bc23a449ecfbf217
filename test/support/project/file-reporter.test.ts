import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';
import { temporaryDirectory } from '../os/temporary.ts';

const reporter = new URL('file-reporter.ts', import.meta.url).href;

/** The report of one file of tests. A process of its own runs it, because node:test runs no tests inside a test. */
async function report(tests: string, runs = 1): Promise<string> {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'a.mjs');
  const runner = join(directory.path, 'run.mjs');
  writeFileSync(
    file,
    `import { describe, test } from 'node:test';\nimport assert from 'node:assert';\n${tests}\n`,
  );
  writeFileSync(
    runner,
    `import { run } from 'node:test';
import { reportFiles } from ${JSON.stringify(reporter)};
async function* events() {
  for (let n = 0; n < ${runs}; n++) yield* run({ files: [${JSON.stringify(file)}] });
}
for await (const text of reportFiles(${JSON.stringify(directory.path)}, events())) process.stdout.write(text);
`,
  );
  const env = { ...process.env };
  delete env['NODE_TEST_CONTEXT'];
  return spawnSync(process.execPath, [runner], { encoding: 'utf8', env }).stdout;
}

test('a file that passes is one line', async () => {
  const text = await report(
    "test('one', t => t.diagnostic('a figure')); describe('s', () => test('two', { skip: 'why' }, () => {}));",
  );
  assert.match(text, /^ok {3} +[\d.]+ s {2}a\.mjs \(2 tests, 1 skipped\)\nℹ tests 2\n/);
  assert.doesNotMatch(text, /a figure|one/);
});

test('a failure is reported in full when it happens, and by name before the totals', async () => {
  const text = await report("describe('s', () => test('two is one', () => assert.equal(2, 1)));");
  assert.match(text, /^FAILED a\.mjs: two is one\n.*ERR_ASSERTION/ms);
  assert.match(text, /^FAIL +[\d.]+ s {2}a\.mjs \(1 tests\)$/m);
  assert.match(text, /failed:\n {2}a\.mjs: two is one\nℹ tests 1\n/);
  assert.equal(text.match(/^FAILED/gm)?.length, 1);
});

test('a file that exits early is a failure with its exit code', async () => {
  assert.match(await report('process.exit(3);'), /^FAILED a\.mjs ended by itself\nexit code 3$/m);
});

test('of a file that runs twice, the failures of the last run are listed', async () => {
  const once = `import { existsSync, writeFileSync } from 'node:fs';
const first = import.meta.filename + '.first';
test('fails once', () => existsSync(first) || assert.fail(writeFileSync(first, '')));`;
  const text = await report(once, 2);
  assert.match(text, /^FAILED a\.mjs: fails once$/m);
  assert.match(text, /^FAIL .*^ok {3} .*/ms);
  assert.doesNotMatch(text, /^failed:/m);
  const always = await report("test('fails', () => assert.fail());", 2);
  assert.equal(always.match(/^FAILED a\.mjs: fails$/gm)?.length, 2);
  assert.match(always, /failed:\n {2}a\.mjs: fails\nℹ/);
});
