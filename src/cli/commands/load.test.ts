import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { digest } from '../../../test/support/node/samples.ts';
import { runShell } from '../../../test/support/node/shell.ts';
import { temporaryDirectory } from '../../../test/support/os/temporary.ts';
import { interruption } from '../terminal.ts';

test('load packs a directory, and sends a tar and the input as they are, the index of a file first', async () => {
  await using directory = await temporaryDirectory();
  const layout = join(directory.path, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  await writeFile(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(layout, 'index.json'), '{}');
  await writeFile(join(layout, 'blobs/sha256', 'ff'), Buffer.alloc(3_000_000, 7));
  await writeFile(join(layout, 'blobs/sha256', 'aa'), '');
  const taken: Buffer[] = [];
  const references: (string | undefined)[] = [];
  const load = async (tar: AsyncIterable<Uint8Array>, reference: string | undefined): Promise<never> => {
    taken.push(Buffer.concat(await Array.fromAsync(tar)));
    references.push(reference);
    return [{ reference: 'registry.example/z:1', descriptor: { digest }, cached: true }] as never;
  };
  const ran = await runShell(['load', layout], { artifacts: { load } });
  assert.equal(ran.stdout, `registry.example/z:1@${digest}\n`);
  const [tar] = taken;
  assert.ok(tar !== undefined && tar.length > 3_000_000);
  const names = [0, 1024, 2048, 2560].map(
    offset => tar.toString('latin1', offset, offset + 100).split('\0')[0],
  );
  assert.deepEqual(names, ['oci-layout', 'index.json', 'blobs/sha256/aa', 'blobs/sha256/ff']);

  const file = join(directory.path, 'layout.tar');
  await writeFile(file, tar);
  await runShell(['load', file, 'registry.example/other:1'], { artifacts: { load } });
  await runShell(['load', '-'], { stdin: [tar], artifacts: { load } });
  assert.deepEqual(references, [undefined, 'registry.example/other:1', undefined]);
  const [, fromFile, fromInput] = taken;
  assert.equal(fromFile?.toString('latin1', 0, 100).split('\0')[0], 'index.json');
  assert.ok(fromFile?.subarray(-tar.length).equals(tar));
  assert.ok(fromInput?.equals(tar));
});

test('load refuses a short name before it opens the layout', async () => {
  const ran = await runShell(['load', '/nowhere', 'model:1']);
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /"model:1" is a short name, and a layout needs a full reference; write registry/);
});

test('load refuses an invalid layout before it sends a request', async () => {
  await using directory = await temporaryDirectory();
  for (const [path, why] of [
    [directory.path, /it has no blobs, so it is not a whole OCI image layout/],
    [
      join(directory.path, 'nothing'),
      /no OCI image layout is there: that is a directory with index\.json, or its/,
    ],
  ] as const) {
    const ran = await runShell(['load', path]);
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, why);
    assert.ok(ran.stderr.includes(`${path}: `));
  }
});

test('load reads only regular files of a layout, and none that is not in it', async () => {
  await using directory = await temporaryDirectory();
  const outside = join(directory.path, 'outside');
  await writeFile(outside, 'secret');
  const cases: readonly (readonly [RegExp, (blobs: string) => void])[] = [
    [
      /sha256\/aa is a FIFO and must be a regular file/,
      blobs => execFileSync('mknod', [join(blobs, 'aa'), 'p']),
    ],
    [
      /sha256\/aa is a character device and/,
      blobs => execFileSync('mknod', [join(blobs, 'aa'), 'c', '1', '5']),
    ],
    [/sha256\/aa is a directory and/, blobs => mkdirSync(join(blobs, 'aa'))],
    [/sha256\/aa is a symlink that leaves the layout/, blobs => symlinkSync(outside, join(blobs, 'aa'))],
    [/sha256\/aa is a symlink that leaves/, blobs => symlinkSync('../../../outside', join(blobs, 'aa'))],
    [
      /blobs\/other is a regular file and must be a directory/,
      blobs => writeFileSync(`${blobs}/../other`, ''),
    ],
    [/blobs\/sha512 is a symlink that leaves/, blobs => symlinkSync(directory.path, `${blobs}/../sha512`)],
  ];
  for (const [nth, [why, spoil]] of cases.entries()) {
    const layout = join(directory.path, `layout-${nth}`);
    await makeLayout(layout);
    spoil(join(layout, 'blobs/sha256'));
    const ran = await runShell(['load', layout]);
    assert.equal(ran.code, 2, String(why));
    assert.match(ran.stderr, why);
  }
});

test('a symlink within a layout is read, and a FIFO is read as a tar', async () => {
  await using directory = await temporaryDirectory();
  const layout = join(directory.path, 'layout');
  await makeLayout(layout);
  await writeFile(join(layout, 'kept'), 'kept');
  await symlink('../../kept', join(layout, 'blobs/sha256/aa'));
  const { load, taken } = collect();
  const first = await runShell(['load', layout], { artifacts: { load } });
  assert.equal(first.code, 0, first.stderr);
  assert.ok(taken[0]?.includes('kept'));

  const fifo = join(directory.path, 'fifo');
  execFileSync('mknod', [fifo, 'p']);
  const reading = runShell(['load', fifo], { artifacts: { load } });
  await writeFile(fifo, taken[0] ?? '');
  assert.equal((await reading).code, 0);
  assert.deepEqual(taken[1], taken[0]);
  const controller = new AbortController();
  const hanging = await runShell(['load', fifo], {
    signal: controller.signal,
    artifacts: {
      load: async (tar, _, signal) => {
        void Array.fromAsync(tar).catch(() => undefined);
        controller.abort(interruption());
        signal.throwIfAborted();
        return [] as never;
      },
    },
  });
  assert.equal(hanging.code, 130, 'nobody writes to it');
  const socket = await runShell(['load', '/dev/null']);
  assert.match(socket.stderr, /\/dev\/null: it is a character device, not a directory or a tar/);
});

test('a layout that changes while it is packed fails the load', async () => {
  await using directory = await temporaryDirectory();
  await makeLayout(directory.path);
  const blob = join(directory.path, 'blobs/sha256/bb');
  await writeFile(blob, Buffer.alloc(4_000_000));
  await writeFile(join(directory.path, 'blobs/sha256/cc'), 'cc');
  for (const [spoil, why] of [
    [
      () => writeFile(join(directory.path, 'blobs/sha256/cc'), 'ccc'),
      /sha256\/cc has changed while the layout/,
    ],
    [() => rm(join(directory.path, 'blobs/sha256/cc')), /it has no blobs\/sha256\/cc, so/],
  ] as const) {
    const load = async (tar: AsyncIterable<Uint8Array>): Promise<never> => {
      let spoilt: Promise<void> | undefined;
      for await (const _ of tar) await (spoilt ??= spoil());
      return [] as never;
    };
    const ran = await runShell(['load', directory.path], { artifacts: { load } });
    assert.equal(ran.code, 2, ran.stderr);
    assert.match(ran.stderr, why);
  }
});

async function makeLayout(path: string): Promise<void> {
  await mkdir(join(path, 'blobs/sha256'), { recursive: true });
  await writeFile(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(path, 'index.json'), '{}');
}

/** A load that keeps its input. */
function collect() {
  const taken: Buffer[] = [];
  const load = async (tar: AsyncIterable<Uint8Array>): Promise<never> => {
    taken.push(Buffer.concat(await Array.fromAsync(tar)));
    return [] as never;
  };
  return { load, taken };
}
