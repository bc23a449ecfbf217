import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { temporaryFolder } from '../../test/support/temporary.ts';
import { beginAnew, createFileState, setSize, sizeOf } from '../util/growing-file.ts';
import { openFileFill } from './file-fill.ts';

test('whoever appends and hashes, what is answered is the hash of the file or nothing', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'file');
  const fd = openSync(path, 'w+');
  const step = fc.oneof(
    fc.record({ kind: fc.constant('append' as const), length: fc.nat(5000), hashes: fc.boolean() }),
    fc.record({ kind: fc.constant('hash' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
    fc.record({ kind: fc.constant('other' as const), length: fc.nat(5000) }),
    fc.record({ kind: fc.constant('anew' as const) }),
  );
  let told = 0;
  const property = fc.property(fc.array(step, { maxLength: 30 }), steps => {
    const state = createFileState();
    ftruncateSync(fd, 0);
    const fill = openFileFill({ fd, algorithm: 'sha512', state });
    let expected = Buffer.of();
    for (const step of steps) {
      if (step.kind === 'anew') {
        ftruncateSync(fd, 0);
        beginAnew(state);
        expected = Buffer.of();
      } else if (step.kind === 'hash') {
        const to = Math.floor(step.share * expected.length);
        const hex = fill.hashUpTo(to);
        if (hex === undefined) continue;
        told++;
        assert.equal(hex, createHash('sha512').update(expected.subarray(0, to)).digest('hex'));
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
    assert.equal(fill.hashUpTo(expected.length), createHash('sha512').update(expected).digest('hex'));
  });
  fc.assert(property, { numRuns: 300 });
  assert.ok(told > 100);
  closeSync(fd);
});

test('what cannot be written moves nothing on', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'file');
  closeSync(openSync(path, 'w'));
  const fd = openSync(path, 'r');
  const state = createFileState();
  const fill = openFileFill({ fd, algorithm: 'sha256', state });
  assert.throws(() => fill.append(Buffer.from('text'), true), { code: 'EBADF' });
  assert.equal(sizeOf(state), 0);
  closeSync(fd);
});
