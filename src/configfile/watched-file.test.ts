import assert from 'node:assert/strict';
import { statSync, utimesSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { rewrite } from '../../test/support/os/rewrite.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { type Reading, startReading, watchFiles } from './watched-file.ts';

const directory = await temporaryDirectory();
after(() => directory[Symbol.asyncDispose]());
let count = 0;
const fresh = (): string => join(directory.path, `file-${(count += 1)}`);

/** Milliseconds: longer than a file counts as just changed and is read at each check. */
const settle = () => sleep(150);

type Text = { readonly text: string };

/** The contents of files, one after the other, and the number of reads. */
function watch(...files: readonly string[]) {
  const told: string[] = [];
  let reads = 0;
  const content = watchFiles<Text>({
    what: 'the thing',
    read(reading) {
      reads += 1;
      return { text: files.map(file => reading.text(file) ?? 'absent').join(' ') };
    },
    problemsOf: ({ text }) => (text.includes('wrong') ? [`${text} is wrong`] : []),
    note: text => told.push(text),
  });
  return { told, content, text: () => content().text, reads: () => reads };
}

test('a file that has settled is read once', async () => {
  const file = fresh();
  await writeFile(file, 'one');
  await settle();
  const { content, reads } = watch(file);
  const first = content();
  assert.equal(content(), first);
  assert.equal(reads(), 1);
});

test('a file written in place, with the same size and times, is a change', async () => {
  const file = fresh();
  await writeFile(file, 'one');
  await settle();
  const { text } = watch(file);
  assert.equal(text(), 'one');
  await rewrite(file, 'two');
  assert.equal(text(), 'two');
});

test('each of many changes within a tick of the clock is detected', () => {
  const file = fresh();
  writeFileSync(file, '000');
  const { mtime } = statSync(file);
  const { text } = watch(file);
  for (let turn = 0; turn < 200; turn += 1) {
    const written = String(turn).padStart(3, '0');
    writeFileSync(file, written);
    utimesSync(file, mtime, mtime);
    assert.equal(text(), written);
  }
});

test('a file that is created, removed and created again is detected', async () => {
  const file = fresh();
  const { text } = watch(file);
  assert.equal(text(), 'absent');
  await writeFile(file, 'one');
  assert.equal(text(), 'one');
  await rm(file);
  assert.equal(text(), 'absent');
  await writeFile(file, 'one');
  assert.equal(text(), 'one');
});

test('a Secret whose version link is replaced is detected, and its files are of one version', async () => {
  const path = fresh();
  await mkdir(path);
  const put = async (version: string): Promise<void> => {
    await mkdir(join(path, version));
    for (const name of ['a', 'b']) await writeFile(join(path, version, name), version);
    await symlink(version, join(path, '..new'));
    await rename(join(path, '..new'), join(path, '..data'));
  };
  await put('v1');
  for (const name of ['a', 'b']) await symlink(join('..data', name), join(path, name));
  await settle();
  const { text } = watch(join(path, 'a'), join(path, 'b'));
  assert.equal(text(), 'v1 v1');
  await put('v2');
  assert.equal(text(), 'v2 v2');
});

test('files that are rewritten with the same content do not count as a change', async () => {
  const file = fresh();
  await writeFile(file, 'one');
  const { content, told } = watch(file);
  const first = content();
  await writeFile(file, 'one');
  assert.equal(content(), first);
  assert.deepEqual(told, []);
});

test('a change is reported, and a problem once, until it is gone', async () => {
  const file = fresh();
  await writeFile(file, 'wrong');
  const { content, told } = watch(file);
  content();
  await writeFile(file, 'wrong');
  content();
  assert.deepEqual(told, ['wrong is wrong']);
  await writeFile(file, 'right');
  content();
  await writeFile(file, 'wrong');
  content();
  assert.deepEqual(told, ['wrong is wrong', 'the thing has changed and was read again', 'wrong is wrong']);
});

test('problems are noted as errors, other messages are not', async () => {
  const told: unknown[] = [];
  watchFiles({
    what: 'the thing',
    read: () => ({}),
    problemsOf: () => ['it is wrong'],
    notesOf: () => ['it has a key that is not used'],
    note: (text, level = 'warn') => told.push([level, text]),
  })();
  assert.deepEqual(told, [
    ['error', 'it is wrong'],
    ['warn', 'it has a key that is not used'],
  ]);
});

test('a file that cannot be read is named, and retried at each check', async () => {
  const file = fresh();
  await mkdir(file);
  await settle();
  let reads = 0;
  const content = watchFiles({
    what: 'the thing',
    read(reading) {
      reads += 1;
      assert.throws(() => reading.text(file), {
        code: 'internal',
        message: `${file} cannot be read (EISDIR)`,
      });
      return {};
    },
    problemsOf: () => [],
    note: text => assert.fail(text),
  });
  assert.equal(content(), content());
  assert.equal(reads, 2);
});

test('within the interval nothing is checked', async () => {
  const file = fresh();
  await writeFile(file, 'one');
  let time = 0;
  const content = watchFiles({
    what: 'the thing',
    read: reading => reading.text(file),
    problemsOf: () => [],
    note: () => {},
    lookEveryMs: 1000,
    now: () => time,
  });
  assert.equal(content(), 'one');
  await writeFile(file, 'two');
  time = 999;
  assert.equal(content(), 'one');
  time = 1000;
  assert.equal(content(), 'two');
});

test('a reading returns the same result each time, and supports directories and programs', async () => {
  const path = fresh();
  await mkdir(path);
  await writeFile(join(path, 'b'), 'one', { mode: 0o755 });
  await writeFile(join(path, 'a'), '');
  const reading: Reading = startReading();
  assert.deepEqual(reading.names(path), ['a', 'b']);
  assert.deepEqual([reading.isDirectory(path), reading.isDirectory(join(path, 'a'))], [true, false]);
  assert.deepEqual([reading.isProgram(join(path, 'b')), reading.isProgram(join(path, 'a'))], [true, false]);
  assert.equal(reading.text(join(path, 'b')), 'one');
  await rm(path, { recursive: true });
  assert.deepEqual(reading.names(path), ['a', 'b']);
  assert.equal(reading.text(join(path, 'b')), 'one');
  assert.equal(startReading().names(path), undefined);
  assert.equal(startReading().isDirectory(path), false);
  assert.equal(startReading().isProgram(path), false);
});

test('a file that becomes executable is detected', async () => {
  const file = fresh();
  await writeFile(file, '', { mode: 0o644 });
  const isProgram = watchFiles({
    what: 'the program',
    read: reading => reading.isProgram(file),
    problemsOf: () => [],
    note: () => {},
  });
  assert.equal(isProgram(), false);
  await chmod(file, 0o755);
  assert.equal(isProgram(), true);
});

test('a check costs no more than a few µs per file', async () => {
  const files = Array.from({ length: 300 }, fresh);
  for (const file of files) writeFileSync(file, '');
  await settle();
  const { content } = watch(...files);
  content();
  const start = performance.now();
  for (let times = 0; times < 10; times += 1) content();
  // Measured 1.3 ms per check, with room for a busy machine.
  assert.ok((performance.now() - start) / 10 < 30);
});
