import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { createFileState, sizeOf } from '../../util/growing-file.ts';
import { openHoles, readFilled } from './holes.ts';

const directory = await temporaryDirectory();
const fd = openSync(join(directory.path, 'partial'), 'w+');
after(async () => {
  closeSync(fd);
  await directory[Symbol.asyncDispose]();
});

const size = 1_000_000;
const nothing = { bytes: 0, extents: [] };
const read = () => readFilled(fd, fstatSync(fd).size, size);
const extentAt = (from: number) => ({ from, to: from + 10 });

test('a partial file tells what it has, of very many extents the first', () => {
  const state = createFileState();
  const holes = openHoles(fd, state, size);
  for (const count of [0, 1, 7, 9]) {
    const extents = Array.from({ length: count }, (_, at) => extentAt(1000 + 20 * at));
    holes.fill(500, extents);
    assert.deepEqual(read(), { bytes: 500, extents: extents.slice(0, 7) });
    assert.deepEqual(holes.extents, extents.slice(0, 7));
    assert.equal(sizeOf(state), 500);
  }
  holes.close();
  assert.equal(fstatSync(fd).size, 500);
  assert.deepEqual(holes.extents, []);
});

test('a table that is damaged, torn or of another version tells nothing', () => {
  const holes = openHoles(fd, createFileState(), size);
  const byte = Buffer.alloc(1);
  for (let turn = 0; turn < 50; turn++) {
    holes.fill(500, [extentAt(1000)]);
    const at = size + randomInt(128);
    readSync(fd, byte, 0, 1, at);
    byte.writeUInt8(byte.readUInt8() ^ (1 << randomInt(8)));
    writeSync(fd, byte, 0, 1, at);
    assert.deepEqual(read(), nothing, `byte ${at - size}`);
  }
  for (const length of [size + 16, size + 127, size + 129]) {
    holes.fill(500, [extentAt(1000)]);
    ftruncateSync(fd, length);
    assert.deepEqual(read(), nothing, `${length} bytes`);
  }
});
