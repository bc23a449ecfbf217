import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { openLineWriter } from './line-writer.ts';

/** A pipe with both ends in this process; the test decides when to read it. */
async function openPipe() {
  const directory = await temporaryDirectory();
  const path = join(directory.path, 'pipe');
  execFileSync('sh', ['-c', `mkfifo ${path}`]);
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(path, constants.O_WRONLY);
  const read = (): string => {
    const chunk = Buffer.alloc(1 << 20);
    try {
      return chunk.toString('utf8', 0, readSync(reader, chunk));
    } catch {
      return ''; // nothing is there now
    }
  };
  return {
    writer,
    read,
    async [Symbol.asyncDispose]() {
      closeSync(reader);
      closeSync(writer);
      await directory[Symbol.asyncDispose]();
    },
  };
}

test('lines that are not read are kept in order up to a limit, then dropped and counted, and never block', async () => {
  await using pipe = await openPipe();
  const log = openLineWriter(pipe.writer, dropped => log.write(`${dropped} lines lost\n`));
  const began = performance.now();
  const count = 100_000;
  for (let n = 0; n < count; n++) log.write(`line ${n} ${'x'.repeat(90)}\n`);
  assert.ok(performance.now() - began < 2_000, 'writing does not wait');
  const dropped = log.dropped();
  assert.ok(dropped > count / 2 && dropped < count - 5_000, `${dropped} of ${count}`);

  let text = '';
  for (let quiet = 0; quiet < 10; await sleep(20)) {
    const some = pipe.read();
    quiet = some === '' ? quiet + 1 : 0;
    text += some;
  }
  log.write('after\n');
  text += pipe.read();
  const lines = text.trimEnd().split('\n');
  const kept = count - dropped;
  assert.deepEqual(
    lines.slice(0, kept).map(line => Number(line.split(' ')[1])),
    Array.from({ length: kept }, (_, n) => n),
  );
  assert.deepEqual(lines.slice(kept), [`${dropped} lines lost`, 'after']);
});

test('at the end of a process its last lines reach a slow reader, and any other is not waited for', async () => {
  await using pipe = await openPipe();
  const log = openLineWriter(pipe.writer, () => {});
  for (let n = 0; n < 2_000; n++) log.write(`${'x'.repeat(99)}\n`);
  const began = performance.now();
  log.flush(200);
  const took = performance.now() - began;
  assert.ok(took >= 190 && took < 2_000, `${took} ms`);
  pipe.read();
  log.write('died of this\n');
  let text = '';
  for (let n = 0; n < 10; n++) {
    log.flush(20);
    text += pipe.read();
  }
  assert.match(text, /x\ndied of this\n$/);
});

test('a file, a pipe or a socket is written to', async () => {
  const module = JSON.stringify(fileURLToPath(new URL('line-writer.ts', import.meta.url)));
  const script = `import { openLineWriter } from ${module}; openLineWriter(1, () => {}).write("here\\n");`;
  const node = `"${process.execPath}" --input-type=module -e '${script}'`;
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'file');
  execFileSync('sh', ['-c', `echo before > ${file}; ${node} >> ${file}`]);
  assert.equal(readFileSync(file, 'utf8'), 'before\nhere\n');
  assert.equal(execFileSync('sh', ['-c', `${node} | cat`], { encoding: 'utf8' }), 'here\n');
  // Node gives its children sockets instead of pipes.
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', chunk => (text += String(chunk)));
  await once(child, 'close');
  assert.equal(text, 'here\n');
});
