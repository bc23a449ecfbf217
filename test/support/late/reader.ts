/**
 * A process that reads a late file, and compares each byte with the pattern. Usage: `one <file> <how> <offset> <length>`
 * prints what it found; `many <file> <milliseconds> <seed>` prints counts of random reads, a line at least every
 * `tellEveryMs` while they go on.
 */
import { constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import process from 'node:process';
import { check, libc } from '../../../src/linux/libc.ts';
import { errnoOf } from '../../../src/util/error.ts';
import { patternAt } from './pattern.ts';
import type { How } from './volume.ts';

const mmap = libc.func('uintptr_t mmap(uintptr_t, size_t, int, int, int, int64)');
const pwrite = libc.func('int64 pwrite(int, uintptr_t, size_t, int64)');
const sendfile = libc.func('int64 sendfile(int, int, void *, size_t)');
const posixFadvise = libc.func('int posix_fadvise(int, int64, int64, int)');
const lseek = libc.func('int64 lseek(int, int64, int)');
const tellEveryMs = 100;
const [PROT_READ, MAP_SHARED, POSIX_FADV_DONTNEED] = [1, 1, 4];

const [mode, path = '', ...rest] = process.argv.slice(2);
const fd = openSync(path, 'r');
const { size } = fstatSync(fd);
const memory = mmap(0, size, PROT_READ, MAP_SHARED, fd, 0);
/** A file without a name, because this process may be killed at any time: `O_TMPFILE` (open(2)). */
const unnamed = 0o20000000 | constants.O_DIRECTORY;
const copy = openSync(tmpdir(), unnamed | constants.O_RDWR, 0o600);

/** How bytes are read. The kernel faults in mapped memory when it is written elsewhere, and then gives an error for it. */
const ways: Readonly<Record<How, (to: Buffer, offset: number) => number>> = {
  pread: (to, offset) => readSync(fd, to, 0, to.length, offset),
  mmap(to, offset) {
    const length = check(Number(pwrite(copy, BigInt(memory) + BigInt(offset), to.length, 0)), 'pwrite', copy);
    return readSync(copy, to, 0, length, 0);
  },
  sendfile(to, offset) {
    lseek(copy, 0, 0);
    const length = check(
      Number(sendfile(copy, fd, BigInt64Array.of(BigInt(offset)), to.length)),
      'sendfile',
      copy,
    );
    return readSync(copy, to, 0, length, 0);
  },
};

/** Returns `right`; `wrong at <offset>`; or the errno. */
function look(how: How, offset: number, length: number, expected: Buffer): string {
  const bytes = Buffer.alloc(length);
  try {
    const got = ways[how](bytes, offset);
    const found = bytes.subarray(0, got);
    return found.equals(expected.subarray(0, got)) && got > 0 ? 'right' : `wrong at ${offset}`;
  } catch (error) {
    return errnoOf(error) ?? String(error);
  }
}

function lookOnce(how: How, offset: number, length: number): string {
  return look(how, offset, length, patternAt(offset, length));
}

function lookOften(milliseconds: number, seed: number): void {
  const all = patternAt(0, size);
  const counts = { right: 0, failed: 0, wrong: [] as string[] };
  const until = Date.now() + milliseconds;
  let toldAt = Date.now();
  let state = seed * 2_654_435_761 + 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  while (Date.now() < until) {
    if (random(10) === 0) posixFadvise(fd, 0, 0, POSIX_FADV_DONTNEED); // what is not mapped is read again
    const how = (['pread', 'mmap', 'sendfile'] as const)[random(3)] ?? 'pread';
    const length = Math.min(4096 << random(9), size);
    const at = random(size - length + 1);
    const found = look(how, at, length, all.subarray(at));
    if (found === 'right') counts.right++;
    else if (found === 'EIO' || found === 'EFAULT') counts.failed++;
    else counts.wrong.push(`${how} ${found}`);
    if (Date.now() - toldAt > tellEveryMs) toldAt = tell(counts);
  }
  tell(counts);
}

/** Returns when. */
function tell(found: unknown): number {
  writeSync(1, `${JSON.stringify(found)}\n`);
  return Date.now();
}

const [first = '', second = '', third = ''] = rest;
if (mode === 'one') tell(lookOnce(first as How, Number(second), Number(third)));
else lookOften(Number(first), Number(second));
