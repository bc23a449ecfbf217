import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../../test/support/os/tmpfs.ts';
import { needs } from '../../../test/support/project/tools.ts';
import { type Journal, openJournal, readJournal } from './journal.ts';

const directory = await temporaryDirectory();
after(() => directory[Symbol.asyncDispose]());

let made = 0;
const fresh = (): string => join(directory.path, String(made++));
const open = (path: string): Promise<Journal> => openJournal(path, fresh);
const linesOf = (path: string) => Object.fromEntries(readJournal(path).lines);

for (const [what, text, lines, closed] of [
  ['is absent', undefined, {}, false],
  ['is empty', '', {}, false],
  ['was closed', 'a 1\nb 2 3\nclosed\n', { a: '1', b: '2 3' }, true],
  ['was closed with nothing in it', 'closed\n', {}, true],
  ['was not closed', 'a 1\n', { a: '1' }, false],
  ['was closed and written again', 'a 1\nclosed\na 2\n', { a: '2' }, false],
  ['ends in the middle of a line', 'a 1\nb 2', { a: '1' }, false],
  ['ends in the middle of its mark', 'a 1\nclose', { a: '1' }, false],
  ['has a key twice', 'a 1\nb 1\na 2\n', { a: '2', b: '1' }, false],
  ['has a key that was taken away', 'a 1\nb 1\na \n', { b: '1' }, false],
  ['has foreign lines', '\n \n x\na 1\n', { a: '1' }, false],
] as const) {
  test(`a journal that ${what} is read`, async () => {
    const path = fresh();
    if (text !== undefined) writeFileSync(path, text);
    assert.deepEqual(linesOf(path), lines);
    const journal = await open(path);
    assert.deepEqual([Object.fromEntries(journal.lines), journal.closed], [lines, closed]);
    assert.equal(readJournal(path).closed, false, 'the mark of the last end is gone');
    await journal.close();
    assert.deepEqual([linesOf(path), readJournal(path).closed], [lines, true]);
  });
}

test('what was put is in the file after disposal, and after a while without it', async () => {
  const path = fresh();
  const journal = await open(path);
  journal.put('a', '1');
  journal.put('b', '1');
  journal.put('b', '');
  assert.deepEqual(linesOf(path), {});
  while (readFileSync(path).length === 0) await new Promise(resolve => setTimeout(resolve, 20));
  assert.deepEqual([linesOf(path), readJournal(path).closed], [{ a: '1' }, false]);
  journal.put('c', '1');
  await journal.close();
  assert.deepEqual([linesOf(path), readJournal(path).closed], [{ a: '1', c: '1' }, true]);
});

test('a journal is rewritten when most of it is outdated', async () => {
  const path = fresh();
  const journal = await open(path);
  for (let nth = 0; nth <= 10_001; nth++) journal.put('a', String(nth));
  await journal.close();
  const next = await open(path);
  await next.close();
  assert.equal(readFileSync(path, 'utf8'), 'a 10001\nclosed\n');
});

test('a journal that cannot be read is empty', () => {
  const path = fresh();
  mkdirSync(path);
  const { lines, closed } = readJournal(path);
  assert.deepEqual([lines.size, closed], [0, false]);
});

test('a read-only journal is not changed', async () => {
  const path = fresh();
  appendFileSync(path, 'a 1\nclosed\n');
  const journal = readJournal(path);
  journal.put('b', '1');
  await journal.close();
  assert.equal(readFileSync(path, 'utf8'), 'a 1\nclosed\n');
});

test(
  'a journal on a full disk opens, as after an end that was not clean, and says so until it has all lines again',
  needs('root'),
  async () => {
    const disk = mountTmpfs(join(directory.path, 'disk'), 'size=16k');
    const [path, filler] = [join(disk, 'journal'), join(disk, 'filler')];
    const openThere = (): Promise<Journal> => openJournal(path, () => join(disk, String(made++)));
    const many = 'v'.repeat(8_000);
    writeFileSync(path, 'a 1\nclosed\n');
    assert.throws(() => writeFileSync(filler, Buffer.alloc(2 ** 20)), { code: 'ENOSPC' });
    {
      const journal = await openThere();
      assert.deepEqual([Object.fromEntries(journal.lines), journal.closed], [{ a: '1' }, false]);
      assert.equal(readJournal(path).closed, false);
      journal.put('b', many);
      await journal.close();
      assert.equal(readJournal(path).closed, false, 'a line is lost');
    }
    const journal = await openThere();
    journal.put('c', many);
    await new Promise(resolve => setTimeout(resolve, 400)); // it is tried in vain
    rmSync(filler);
    await journal.close();
    assert.deepEqual([linesOf(path), readJournal(path).closed], [{ a: '1', c: many }, true]);
  },
);

test('a journal that was removed because its mark could not be has its lines again before the next mark', async () => {
  const path = fresh();
  writeFileSync(path, 'a 1\nclosed\n');
  const asides = ['/proc/none', fresh()];
  const journal = await openJournal(path, () => {
    if (asides.length === 2) {
      rmSync(path);
      symlinkSync('elsewhere', path); // no open follows it
    }
    return asides.shift() ?? assert.fail();
  });
  assert.equal(journal.closed, false);
  assert.throws(() => readFileSync(path), { code: 'ENOENT' });
  await journal.close();
  assert.deepEqual([linesOf(path), readJournal(path).closed], [{ a: '1' }, true]);
});
