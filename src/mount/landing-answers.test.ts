import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readFile, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { runProgram } from '../../test/support/os/program.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { createLandingAnswers } from './landing-answers.ts';

const length = 128 * 1024; // more than a pipe holds
const headBytes = 16;

test('a read that no longer waits is not answered, although its descriptor is that of another file by then', async () => {
  await using temporary = await temporaryDirectory();
  const at = (name: string): string => join(temporary.path, name);
  runProgram('mkfifo', at('pipe'));
  const [receiver, device] = [openSync(at('pipe'), constants.O_RDWR), openSync(at('pipe'), 'w')];
  writeFileSync(at('right'), Buffer.alloc(length, 'r'));
  writeFileSync(at('wrong'), Buffer.alloc(length, 'w'));
  const answers = createLandingAnswers(device);
  const right = openSync(at('right'), 'r');
  let waits = true;
  const send = (unique: bigint, fd: number): Promise<void> =>
    answers.send({ unique, offset: 0, bytes: length, length }, fd, () => unique < 3n || waits);
  const sent = [send(1n, right), send(2n, right)]; // they fill the pipe, and are under way
  const queued = openSync(at('right'), 'r');
  sent.push(send(3n, queued));
  waits = false;
  closeSync(queued);
  const wrong = openSync(at('wrong'), 'r');
  assert.equal(wrong, queued);
  const reader = openSync(at('pipe'), 'r');
  closeSync(receiver);
  const received = promisify(readFile)(reader);
  await Promise.all(sent);
  await answers[Symbol.asyncDispose]();
  assert.equal((await received).length, 2 * (headBytes + length));
  for (const fd of [right, wrong, reader]) closeSync(fd);
});
