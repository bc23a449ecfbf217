import assert from 'node:assert/strict';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { type FileAt, stampFiles } from './stamp.ts';

const directory = await temporaryDirectory();
after(() => directory[Symbol.asyncDispose]());
const never = new AbortController().signal;

let made = 0;
/** A directory with `count` files, and one below another directory. */
function make(count: number): { readonly path: string; readonly files: readonly FileAt[] } {
  const path = join(directory.path, String(made++));
  mkdirSync(join(path, 'd'), { recursive: true });
  const names = Array.from({ length: count }, (_, at) => (at === 1 ? 'd/1' : String(at)));
  for (const name of names) writeFileSync(join(path, name), `bytes of ${name}`);
  return { path, files: names.map(name => [path, name]) };
}

/** `kept`: whether it changes the part that links do not change. */
const changes: Readonly<Record<string, { kept: boolean; change: (path: string) => void }>> = {
  'is written into and gets its old time back': {
    kept: false,
    change(path) {
      const { atime, mtime } = lstatSync(path);
      writeFileSync(path, 'X', { flag: 'r+' });
      utimesSync(path, atime, mtime);
    },
  },
  'is written into': { kept: false, change: path => writeFileSync(path, 'X', { flag: 'r+' }) },
  'is cut short': { kept: false, change: path => truncateSync(path, 1) },
  'has another mode': { kept: false, change: path => chmodSync(path, 0o600) },
  'is replaced by its like': {
    kept: false,
    change(path) {
      const { atime, mtime } = lstatSync(path);
      writeFileSync(`${path}.new`, `bytes of ${path.split('/').at(-1)}`);
      utimesSync(`${path}.new`, atime, mtime);
      renameSync(`${path}.new`, path);
    },
  },
  'is a symlink': {
    kept: false,
    change(path) {
      renameSync(path, `${path}.old`);
      symlinkSync(`${path}.old`, path);
    },
  },
  'has one link more': { kept: true, change: path => linkSync(path, `${path}.link`) },
};

for (const count of [1, 2, 300]) {
  for (const [what, { kept, change }] of Object.entries(changes)) {
    test(`of ${count} files one that ${what} changes the stamp`, async () => {
      const { path, files } = make(count);
      const before = await stampFiles(files, never);
      assert.deepEqual(await stampFiles(files, never), before);
      // ctime has the granularity of the kernel's clock.
      await new Promise(resolve => setTimeout(resolve, 10));
      change(join(path, '0'));
      const now = await stampFiles(files, never);
      assert.notEqual(now?.changed, before?.changed);
      if (kept) assert.equal(now?.kept, before?.kept);
    });
  }

  test(`if one of ${count} files is missing, there is no stamp`, async () => {
    const { path, files } = make(count);
    rmSync(join(path, String(count === 2 ? 'd/1' : count - 1)));
    assert.equal(await stampFiles(files, never), undefined);
    rmSync(path, { recursive: true });
    assert.equal(await stampFiles(files, never), undefined);
    writeFileSync(path, 'no directory');
    assert.equal(await stampFiles(files, never), undefined);
  });
}

test('files are stamped by short and long names in bytes, and a directory by an empty name', async () => {
  const { path } = make(0);
  const names = [Buffer.from([0xff, 0x2f, 0xfe]), Buffer.from(`${'x'.repeat(250)}/${'y'.repeat(250)}`)];
  for (const name of names) {
    const at = name.lastIndexOf('/');
    const root = Buffer.from(`${path}/`);
    mkdirSync(Buffer.concat([root, name.subarray(0, at)]));
    writeFileSync(Buffer.concat([root, name]), '');
  }
  const all = [Buffer.of(), ...names].map((name): FileAt => [path, name]);
  const stamps = await Promise.all(all.map(file => stampFiles([file], never)));
  assert.equal(new Set(stamps.map(stamp => stamp?.kept)).size, all.length);
  assert.ok(stamps.every(stamp => stamp !== undefined));
  const { ino } = lstatSync(path);
  assert.equal(Buffer.from(stamps[0]?.kept ?? '', 'hex').readUInt32LE(12), ino);
});

test('a stamp ends when no caller waits for it', async () => {
  const { files } = make(2);
  const ended = AbortSignal.abort(new Error('enough'));
  function* endless(): Generator<FileAt> {
    for (;;) yield* files;
  }
  await assert.rejects(stampFiles(endless(), ended), /enough/);
});
