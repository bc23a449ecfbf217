import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { beginAnew, createFileState, setSize, sizeOf } from '../../util/growing-file.ts';
import { openFileWriter } from './receiver.ts';

test('whoever appends and hashes, the result is the hash of the file', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'file');
  const fd = openSync(path, 'w+');
  const step = fc.oneof(
    fc.record({ kind: fc.constant('append' as const), length: fc.nat(5000), hashes: fc.boolean() }),
    fc.record({ kind: fc.constant('hash' as const) }),
    fc.record({ kind: fc.constant('other' as const), length: fc.nat(5000) }),
    fc.record({ kind: fc.constant('anew' as const) }),
  );
  const property = fc.property(fc.array(step, { maxLength: 30 }), steps => {
    const state = createFileState();
    ftruncateSync(fd, 0);
    const fill = openFileWriter({ fd, algorithm: 'sha512', state });
    let expected = Buffer.of();
    for (const step of steps) {
      if (step.kind === 'anew') {
        ftruncateSync(fd, 0);
        beginAnew(state);
        expected = Buffer.of();
      } else if (step.kind === 'hash') {
        assert.equal(fill.hashOn(), createHash('sha512').update(expected).digest('hex'));
      } else {
        const bytes = randomBytes(step.length);
        if (step.kind === 'append') fill.append(bytes, step.hashes);
        else {
          writeSync(fd, bytes, 0, bytes.length, expected.length);
          setSize(state, expected.length + bytes.length);
        }
        expected = Buffer.concat([expected, bytes]);
      }
      assert.equal(sizeOf(state), expected.length);
    }
    assert.ok(readFileSync(path).equals(expected));
    assert.equal(fill.hashOn(), createHash('sha512').update(expected).digest('hex'));
  });
  fc.assert(property, { numRuns: 300 });
  closeSync(fd);
});

test('a failed write does not advance the position', async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'file');
  closeSync(openSync(path, 'w'));
  const fd = openSync(path, 'r');
  const state = createFileState();
  const fill = openFileWriter({ fd, algorithm: 'sha256', state });
  assert.throws(() => fill.append(Buffer.from('text'), true), { code: 'EBADF' });
  assert.equal(sizeOf(state), 0);
  closeSync(fd);
});

test('existing bytes are hashed in steps, and missing bytes are reported', async () => {
  await using directory = await temporaryDirectory();
  const fd = openSync(join(directory.path, 'file'), 'w+');
  const bytes = randomBytes(9 * 1024 * 1024);
  writeSync(fd, bytes);
  const state = createFileState();
  setSize(state, bytes.length);
  const fill = openFileWriter({ fd, algorithm: 'sha256', state });
  assert.deepEqual(
    [fill.hashOn(), fill.hashOn(), fill.hashOn(), fill.hashOn()].map(hex => hex?.length),
    [undefined, undefined, 64, 64],
  );
  assert.equal(fill.hashOn(), createHash('sha256').update(bytes).digest('hex'));
  setSize(state, bytes.length + 1);
  assert.throws(() => fill.hashOn(), /it ends after 9437184 of 9437185 bytes/);
  closeSync(fd);
});
