import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { build } from 'esbuild';
import { endOfTar, rawEntry, rawTar } from '../../test/support/oci/raw-tar.ts';
import { decodeToc } from '../../test/support/oci/toc.ts';
import { readTree } from '../../test/support/oci/tree.ts';
import { openFiles } from '../../test/support/oci/unpacking.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { mountTmpfs } from '../../test/support/os/tmpfs.ts';
import { toDigest } from '../oci/digest.ts';
import type { Unpacker as Contract, UnpackDestination } from '../ports/unpacker.ts';
import { bodiesPerDirectory, bodyName } from '../tree/layer-files.ts';
import { openUnpacker } from './unpacker.ts';

const directory = await temporaryDirectory();
after(() => directory[Symbol.asyncDispose]());

const digest = toDigest('sha256', 'a'.repeat(64));
const limits = { maxEntries: 100_000, maxBytes: 2 ** 40, maxRatio: 1_000_000 };
const never = new AbortController().signal;

function source(name: string, bytes: Uint8Array): string {
  const path = join(directory.path, name);
  writeFileSync(path, bytes);
  return path;
}

const grow = async (): Promise<void> => {};

function bodiesIn(path: string): UnpackDestination {
  return { path, form: 'bodies', grow };
}

function tarIn(path: string): UnpackDestination {
  return { path, form: 'tar', grow };
}

function into(name: string): string {
  const path = join(directory.path, name);
  mkdirSync(path);
  return path;
}

const files = (count: number): Buffer =>
  Buffer.concat([
    ...Array.from({ length: count }, (_, index) => rawEntry({ name: `f${index}`, body: `content ${index}` })),
    endOfTar,
  ]);

/** Gigabytes of one body in a few kilobytes: unpacking it takes longer than any test waits. */
function endless(): Buffer {
  const member = gzipSync(Buffer.alloc(64 << 20), { level: 9 });
  return Buffer.concat([
    gzipSync(rawEntry({ name: 'big', size: 2 ** 36 })),
    ...Array.from({ length: 1000 }, () => member),
  ]);
}

test('a layer is unpacked in a thread, its entries in order', async () => {
  await using unpacker: Contract & AsyncDisposable = openUnpacker(limits);
  const summary = await unpacker.unpack(
    { path: source('many', gzipSync(files(5432))) },
    digest,
    bodiesIn(into('many.into')),
    never,
  );
  const { entries, ...read } = decodeToc(readFileSync(join(directory.path, 'many.into/toc')));
  assert.deepEqual(
    entries.map(entry => entry.path),
    Array.from({ length: 5432 }, (_, index) => `f${index}`),
  );
  assert.deepEqual(summary, read);
  assert.deepEqual([summary.digest, summary.bodies], [digest, 5432]);
  const directories = Math.ceil(5432 / bodiesPerDirectory);
  assert.equal(readdirSync(join(directory.path, 'many.into')).length, directories + 1);
  assert.equal(
    readdirSync(join(directory.path, 'many.into'), { recursive: true }).length,
    5432 + directories + 1,
  );
});

test('a thread unpacks one layer after the other, unless one fails, and ends when there are no more', async () => {
  const started: Promise<unknown>[] = [];
  const onWorker = (worker: Worker): void => void started.push(once(worker, 'exit'));
  process.on('worker', onWorker);
  using _listener = { [Symbol.dispose]: () => void process.off('worker', onWorker) };
  await using unpacker = openUnpacker({ ...limits, maxEntries: 10 });
  const unpack = (name: string, count: number) =>
    unpacker.unpack({ path: source(name, files(count)) }, digest, tarIn(into(`${name}.into`)), never);
  for (const name of ['first', 'second', 'third']) assert.equal((await unpack(name, 9)).bodies, 9);
  assert.equal(started.length, 1);
  await assert.rejects(unpack('fourth', 11), { code: 'unmountable' });
  assert.equal((await unpack('fifth', 9)).bodies, 9);
  assert.equal(started.length, 2);
  await Promise.all(started);
});

test('a refusal from the thread keeps its code and text', async () => {
  await using unpacker = openUnpacker({ ...limits, maxEntries: 10 });
  await assert.rejects(
    unpacker.unpack({ path: source('over', files(11)) }, digest, bodiesIn(into('over.into')), never),
    {
      name: 'ArtifactError',
      code: 'unmountable',
      message: `layer ${digest}, entry "f10": more than 10 entries in one layer (--max-layer-entries)`,
    },
  );
});

test('a missing layer file is an internal error', async () => {
  await using unpacker = openUnpacker(limits);
  const path = join(directory.path, 'absent');
  await assert.rejects(unpacker.unpack({ path: path }, digest, bodiesIn(into('absent.into')), never), {
    code: 'internal',
    message: /ENOENT/,
  });
});

test('an existing file is never overwritten by a body', async () => {
  await using unpacker = openUnpacker(limits);
  const path = into('taken');
  mkdirSync(join(path, '0'));
  await assert.rejects(unpacker.unpack({ path: source('two', files(2)) }, digest, bodiesIn(path), never), {
    message: /EEXIST/,
  });
});

for (const [name, options] of [
  ['bytes', 'size=1m'],
  ['inodes', 'nr_inodes=50'],
] as const) {
  test(`a disk without ${name} is exhausted`, async () => {
    await using unpacker = openUnpacker(limits);
    const path = mountTmpfs(join(directory.path, `full-${name}`), options);
    const layer = rawTar(...Array.from({ length: 60 }, () => ({ body: Buffer.alloc(100_000) })));
    const small = rawTar(...Array.from({ length: 600 }, () => ({ body: Buffer.alloc(4000) })));
    for (const [size, tar] of Object.entries({ large: layer, small })) {
      const full = join(path, size);
      mkdirSync(full);
      await assert.rejects(
        unpacker.unpack({ path: source(`full.${name}.${size}`, tar) }, digest, bodiesIn(full), never),
        {
          code: 'exhausted',
          message: /the disk of the cache is full/,
        },
      );
      rmSync(full, { recursive: true });
    }
  });
}

test('a disk without space for the table of contents is exhausted, even if only its end does not fit', async () => {
  await using unpacker = openUnpacker(limits);
  for (const [name, count] of [
    ['end', 40],
    ['middle', 1000],
  ] as const) {
    const path = mountTmpfs(join(directory.path, `table-${name}`), 'size=4k');
    const long = Array.from({ length: count }, (_, index) => ({
      name: `${index}`.padEnd(99, 'x'),
      type: '5',
    }));
    await assert.rejects(
      unpacker.unpack({ path: source(name, rawTar(...long)) }, digest, bodiesIn(path), never),
      {
        code: 'exhausted',
      },
    );
  }
});

test('an abort ends the thread promptly, and leaves nothing of it', async () => {
  await using unpacker = openUnpacker(limits);
  const path = into('aborted');
  const controller = new AbortController();
  const reason = new Error('enough');
  const unpacking = unpacker.unpack(
    { path: source('endless', endless()) },
    digest,
    bodiesIn(path),
    controller.signal,
  );
  const rejected = assert.rejects(unpacking, reason);
  while (!existsSync(join(path, bodyName(0)))) await sleep(5);
  assert.ok(openFiles(directory.path).length > 0);
  const start = performance.now();
  controller.abort(reason);
  await rejected;
  assert.ok(performance.now() - start < 2000);
  assert.deepEqual(openFiles(directory.path), []);
});

test('an abort at any point of the start of a thread ends that unpacking and nothing else', async () => {
  await using unpacker = openUnpacker(limits);
  const path = into('started');
  const layer = source('started.tar', endless());
  const begun = performance.now();
  const whole = new AbortController();
  const rejected = assert.rejects(
    unpacker.unpack({ path: layer }, digest, bodiesIn(path), whole.signal),
    /enough/,
  );
  while (!existsSync(join(path, bodyName(0)))) await sleep(1);
  const startMs = performance.now() - begun;
  whole.abort(new Error('enough'));
  await rejected;
  for (let nth = 0; nth < 30; nth++) {
    rmSync(path, { recursive: true });
    mkdirSync(path);
    const signal = AbortSignal.timeout(Math.ceil((startMs * nth) / 30));
    await assert.rejects(unpacker.unpack({ path: layer }, digest, bodiesIn(path), signal), {
      name: 'TimeoutError',
    });
  }
  assert.deepEqual(openFiles(directory.path), []);
});

test('an abort ends the second thread too', async () => {
  await using unpacker = openUnpacker(limits);
  const path = into('aborted-many');
  const many = source('many-small', files(90_000));
  const controller = new AbortController();
  const rejected = assert.rejects(
    unpacker.unpack({ path: many }, digest, bodiesIn(path), controller.signal),
    /enough/,
  );
  while (!existsSync(join(path, bodyName(3000)))) await sleep(1);
  controller.abort(new Error('enough'));
  await rejected;
  const count = (): number => readdirSync(path, { recursive: true }).length;
  const left = count();
  await sleep(100);
  assert.equal(count(), left);
  assert.ok(left < 90_000);
  assert.deepEqual(openFiles(directory.path), []);
});

test('a call that was aborted before it began does nothing', async () => {
  await using unpacker = openUnpacker(limits);
  const path = into('unbegun');
  const signal = AbortSignal.abort(new Error('too late'));
  await assert.rejects(
    unpacker.unpack({ path: source('one', files(1)) }, digest, bodiesIn(path), signal),
    /too late/,
  );
  assert.deepEqual(readdirSync(path), []);
});

test('disposal ends running work', async () => {
  const unpacker = openUnpacker(limits);
  const path = into('disposed');
  const unpacking = unpacker.unpack(
    { path: source('disposed.tar', endless()) },
    digest,
    bodiesIn(path),
    never,
  );
  const rejected = assert.rejects(unpacking, { code: 'cancelled' });
  while (!existsSync(join(path, bodyName(0)))) await sleep(5);
  await unpacker[Symbol.asyncDispose]();
  await rejected;
});

/** A file that arrives as the test says. */
function arriving(name: string, whole: Buffer) {
  const path = source(name, Buffer.alloc(0));
  let present = 0;
  let ended: Error | undefined;
  let wake = Promise.withResolvers<void>();
  const step = (): void => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  return {
    source: {
      path,
      arrival: {
        size: whole.length,
        async more(past: number): Promise<number> {
          for (;;) {
            if (ended !== undefined) throw ended;
            if (present > past) return present;
            await wake.promise;
          }
        },
      },
    },
    reach(to: number): void {
      appendFileSync(path, whole.subarray(present, to));
      present = to;
      step();
    },
    end(failure: Error): void {
      ended = failure;
      step();
    },
  };
}

const random = rawTar(
  ...Array.from({ length: 64 }, (_, nth) => ({ name: `r${nth}`, body: randomBytes(40_000) })),
);

for (const form of ['bodies', 'tar'] as const)
  for (const [compression, whole] of Object.entries({
    plain: random,
    gzip: gzipSync(random),
    zstd: zstdCompressSync(random),
  })) {
    test(`a layer is unpacked as its file arrives, and the result is that of the whole: ${compression}, ${form}`, async () => {
      await using unpacker = openUnpacker(limits);
      const name = `arriving.${compression}.${form}`;
      const file = arriving(name, whole);
      const to = { path: into(`${name}.into`), form, grow };
      const unpacking = unpacker.unpack(file.source, digest, to, never);
      const unpackedBytes = (): number =>
        readdirSync(to.path, { recursive: true, withFileTypes: true })
          .filter(entry => entry.isFile())
          .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
      for (const part of [0.1, 0.5, 0.99]) {
        for (let at = 0; at < 5; at++) file.reach(Math.floor(whole.length * part) - 4 + at);
        // What is uncompressed, and batches of small bodies, lag behind.
        while (unpackedBytes() < random.length * part - 600_000) await sleep(5);
      }
      file.reach(whole.length);
      const summary = await unpacking;
      const other = { path: into(`${name}.whole`), form, grow };
      const path = source(`${name}.source`, whole);
      assert.deepEqual(summary, await unpacker.unpack({ path }, digest, other, never));
      const toc = (path: string): Buffer => readFileSync(join(path, 'toc'));
      assert.deepEqual(toc(to.path), toc(other.path));
      const shown = (path: string) => (form === 'tar' ? readFileSync(join(path, 'tar')) : readTree(path));
      assert.deepEqual(shown(to.path), shown(other.path));
    });
  }

test('a file that arrives no more ends its unpacking, also one that waits, and an abort does', async () => {
  await using unpacker = openUnpacker(limits);
  for (const [nth, end] of [
    (file: ReturnType<typeof arriving>) => file.end(new Error('enough')),
    (_: unknown, controller: AbortController) => controller.abort(new Error('enough')),
  ].entries()) {
    const file = arriving(`ended.${nth}`, gzipSync(random));
    const path = into(`ended.${nth}.into`);
    const controller = new AbortController();
    const rejected = assert.rejects(
      unpacker.unpack(file.source, digest, tarIn(path), controller.signal),
      /enough/,
    );
    file.reach(1_000_000);
    while (!existsSync(join(path, 'tar')) || statSync(join(path, 'tar')).size < 500_000) await sleep(5);
    end(file, controller);
    await rejected;
    assert.deepEqual(openFiles(directory.path), []);
  }
});

test('a tar that is refused while it arrives holds no file open after an abort', async () => {
  await using unpacker = openUnpacker({ ...limits, maxEntries: 10 });
  const file = arriving('refused', gzipSync(random));
  const controller = new AbortController();
  const refused = unpacker.unpack(file.source, digest, tarIn(into('refused.into')), controller.signal);
  const rejected = assert.rejects(refused);
  file.reach(1_000_000);
  await sleep(100);
  controller.abort(new Error('enough'));
  await rejected;
  assert.deepEqual(openFiles(directory.path), []);
});

test('in a flat bundle, the thread is found beside the program', async () => {
  const outdir = join(directory.path, 'dist');
  const entryPoints = ['unpacker', 'worker'].map(name => new URL(`./${name}.ts`, import.meta.url).pathname);
  const banner = {
    js: `import { createRequire } from 'node:module'; const require = createRequire(${JSON.stringify(import.meta.url)});`,
  };
  const alias = { koffi: import.meta.resolve('koffi') };
  await build({
    entryPoints,
    outdir,
    banner,
    alias,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['file:*'],
  });
  writeFileSync(join(outdir, 'package.json'), '{"type":"module"}');
  const bundle: { openUnpacker: typeof openUnpacker } = await import(join(outdir, 'unpacker.js'));
  await using unpacker = bundle.openUnpacker(limits);
  const { bodies } = await unpacker.unpack(
    { path: source('bundled', files(3)) },
    digest,
    bodiesIn(into('bundled.into')),
    never,
  );
  assert.equal(bodies, 3);
});
