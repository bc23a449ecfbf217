import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { directory } from '../../test/support/oci/nodes.ts';
import { runProgram } from '../../test/support/os/program.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import { createErofsMount } from '../linux/erofs.ts';
import { toDigest } from '../oci/digest.ts';
import type { DirectoryNode, FileNode } from '../tree/tree.ts';
import { doAtOnce } from '../util/pace.ts';
import { type ChunkMap, chunkEntries, countChunks, endOf, type LateFile } from './chunk-map.ts';
import { writeImage } from './image.ts';
import { planImage } from './image-plan.ts';
import { chunkMapsOf, type DeviceRole, type LateLayout, layOutLateFiles } from './late-files.ts';

const attributes = { mode: 0o444, uid: 0, gid: 0, mtime: 0n };

function node(source: FileNode['source']['kind'], body: number, size: number): FileNode {
  const digest = toDigest('sha256', '5'.repeat(64));
  return { kind: 'file', source: { kind: source, digest }, body, size, attributes, layer: 'layer 0' };
}

/** A tree of late files beside small ones of a device of their own. */
function treeOf(files: readonly LateFile[], small: number): DirectoryNode {
  const late = files.map(({ size }, nth) => [`late-${nth}`, node('bodies', nth, size)] as const);
  const others = Array.from({ length: small }, (_, nth) => [`small-${nth}`, node('tar', nth, 300)] as const);
  return directory(Object.fromEntries([...late, ...others]));
}

type Image = { readonly bytes: Buffer; readonly layout: LateLayout; readonly maps: readonly ChunkMap[] };

function imageOf(files: readonly LateFile[], blockSize: number, small: number): Image {
  const given = { blockSize, sizes: small === 0 ? [] : [small] };
  const layout = layOutLateFiles(given, files);
  assert.ok(layout);
  const plan = doAtOnce(
    planImage(treeOf(files, small), layout.devices, ({ source, body }) => {
      const place = source.kind === 'tar' ? { device: 1, block: body } : layout.places[body];
      assert.ok(place);
      return place;
    }),
  );
  const bytes = Buffer.concat(Array.from(writeImage(plan), slice => Buffer.from(slice)));
  const maps = chunkMapsOf(plan, layout).filter(map => map !== undefined);
  assert.equal(maps.length, files.length);
  return { bytes, layout, maps };
}

const shapes = fc.record({
  blockSize: fc.constantFrom(512, 4096),
  small: fc.nat(2),
  files: fc.array(
    fc.record({
      size: fc.oneof(fc.integer({ min: 1, max: 300_000 }), fc.constantFrom(4096, 65_536, 131_072)),
      chunkSize: fc.constantFrom(4096, 16_384, 1 << 20),
    }),
    { minLength: 1, maxLength: 150 },
  ),
});

test('to show a chunk as present or missing changes one bit of the image', () => {
  fc.assert(
    fc.property(shapes, fc.nat(), fc.nat(), ({ files, blockSize, small }, which, where) => {
      const { bytes, maps } = imageOf(files, blockSize, small);
      const map = maps[which % maps.length];
      assert.ok(map);
      const chunk = where % countChunks(map);
      const flipped = Buffer.from(bytes);
      const entry = chunkEntries(map, { from: chunk, to: chunk + 1, isPresent: true });
      entry.bytes.copy(flipped, entry.at);
      const changed = [...bytes.keys()].filter(at => bytes[at] !== flipped[at]);
      assert.deepEqual(
        changed.map(at => [at, (bytes[at] ?? 0) ^ (flipped[at] ?? 0)]),
        [[entry.at + 2, 1]],
      );
      const back = chunkEntries(map, { from: chunk, to: chunk + 1, isPresent: false });
      back.bytes.copy(flipped, back.at);
      assert.ok(flipped.equals(bytes));
    }),
    { numRuns: 50 },
  );
});

test('the entries of a file are those of its chunks, one after the other', () => {
  const { maps } = imageOf([{ size: 10_000, chunkSize: 4096 }], 512, 1);
  const [map] = maps;
  assert.ok(map);
  const all = chunkEntries(map, { from: 0, to: 3, isPresent: true });
  const each = [0, 1, 2].map(from => chunkEntries(map, { from, to: from + 1, isPresent: true }));
  assert.ok(all.bytes.equals(Buffer.concat(each.map(({ bytes }) => bytes))));
  assert.deepEqual(
    each.map(({ at }) => at - all.at),
    [0, 8, 16],
  );
  assert.deepEqual(endOf(map), { from: 8192, to: 10_000, paddedTo: 10_240 });
});

test('landings have even numbers, and follow the given devices', () => {
  const files = [
    { size: 4096, chunkSize: 4096 },
    { size: 5000, chunkSize: 4096 },
  ];
  const layout = layOutLateFiles({ blockSize: 4096, sizes: [7, 8] }, files);
  assert.deepEqual(
    layout?.roles.map(role => (role.kind === 'given' ? `given ${role.index}` : `${role.kind} ${role.file}`)),
    ['given 0', 'given 1', 'landing 0', 'landing 0', 'data 0', 'landing 1', 'data 1', 'landing 1', 'end 1'],
  );
  assert.deepEqual(
    layout?.places.map(({ device }) => device),
    [4, 6],
  );
  assert.deepEqual(layout?.devices.sizes, [7, 8, 0, 1, 1, 2, 2, 2, 2]);
});

test('more files, or larger ones, than the format can express are not laid out', () => {
  const given = { blockSize: 512, sizes: [] };
  const many = (count: number): LateFile[] =>
    Array.from({ length: count }, () => ({ size: 1, chunkSize: 4096 }));
  assert.ok(layOutLateFiles(given, many(16_383)));
  assert.equal(layOutLateFiles(given, many(16_384)), undefined);
  assert.ok(layOutLateFiles(given, [{ size: 2 ** 41 - 512, chunkSize: 2 ** 22 }]));
  assert.equal(layOutLateFiles(given, [{ size: 2 ** 41, chunkSize: 2 ** 22 }]), undefined);
});

test('the map of a file of 500 GB is written in slices', () => {
  const { bytes, maps } = imageOf([{ size: 500e9 + 1, chunkSize: 1 << 22 }], 512, 1);
  const [map] = maps;
  assert.ok(map);
  const count = countChunks(map);
  assert.equal(count, 119_210);
  const missing = chunkEntries(map, { from: 0, to: count, isPresent: false });
  assert.ok(bytes.subarray(missing.at, missing.at + missing.bytes.length).equals(missing.bytes));
  assert.ok(bytes.length < 1_100_000, `${bytes.length} bytes`);
});

/** Files for devices: landings have other bytes than data. Returns their paths, and the bytes of the late files. */
function writeDevices(at: string, image: Image, files: readonly LateFile[], blockSize: number) {
  const contents = files.map(({ size }, nth) =>
    Buffer.from(Array.from({ length: size }, (_, n) => n * 7 + nth)),
  );
  const pathOf = (role: DeviceRole): string =>
    join(at, role.kind === 'given' ? 'given' : `${role.kind}-${role.file}`);
  writeFileSync(join(at, 'given'), Buffer.alloc(2 * blockSize, 'small'));
  for (const [nth, content] of contents.entries()) {
    writeFileSync(join(at, `landing-${nth}`), Buffer.alloc(content.length + blockSize, 0xee));
    writeFileSync(join(at, `data-${nth}`), content);
    const end = image.maps[nth] && endOf(image.maps[nth]);
    if (end === undefined) continue;
    const fd = openSync(join(at, `end-${nth}`), 'w');
    writeSync(fd, content, end.from, end.to - end.from, end.from);
    closeSync(fd);
    truncateSync(join(at, `end-${nth}`), end.paddedTo);
  }
  return { devices: image.layout.roles.map(pathOf), contents };
}

test(
  'the kernel shows the bytes of a chunk once it is present, at all ends of files',
  needs('root'),
  async () => {
    await using temporary = await temporaryDirectory();
    let run = 0;
    fc.assert(
      fc.property(shapes, ({ files, blockSize, small }) => {
        const image = imageOf(files, blockSize, small);
        const at = join(temporary.path, String(run++));
        runProgram('mkdir', at);
        const { devices, contents } = writeDevices(at, image, files, blockSize);
        const path = join(at, 'image');
        writeFileSync(path, image.bytes);
        using mount = createErofsMount({ image: path, devices });
        const fd = openSync(path, 'r+');
        const shown = `/proc/self/fd/${mount.fd}`;
        for (const [nth, map] of image.maps.entries()) {
          if (nth % 3 === 2) continue;
          const { at: entry, bytes } = chunkEntries(map, { from: 0, to: countChunks(map), isPresent: true });
          writeSync(fd, bytes, 0, bytes.length, entry);
        }
        closeSync(fd);
        for (const [nth, content] of contents.entries()) {
          const want = nth % 3 === 2 ? Buffer.alloc(content.length, 0xee) : content;
          assert.ok(readFileSync(join(shown, `late-${nth}`)).equals(want), `file ${nth}`);
        }
        for (let nth = 0; nth < small; nth++)
          assert.equal(readFileSync(join(shown, `small-${nth}`)).length, 300);
      }),
      { numRuns: 15 },
    );
  },
);

/** It opens at most 255 devices. */
test('fsck.erofs accepts images with late files, and extracts their bytes', needs('fsck.erofs'), async () => {
  await using temporary = await temporaryDirectory();
  const files = Array.from({ length: 60 }, (_, nth) => ({ size: 1 + nth * 1497, chunkSize: 16_384 }));
  const image = imageOf(files, 4096, 2);
  const { devices, contents } = writeDevices(temporary.path, image, files, 4096);
  for (const map of image.maps) {
    const { at, bytes } = chunkEntries(map, { from: 0, to: countChunks(map), isPresent: true });
    bytes.copy(image.bytes, at);
  }
  const path = join(temporary.path, 'image');
  writeFileSync(path, image.bytes);
  const into = join(temporary.path, 'extracted');
  runProgram('fsck.erofs', ...devices.map(device => `--device=${device}`), `--extract=${into}`, path);
  for (const [nth, content] of contents.entries())
    assert.ok(readFileSync(join(into, `late-${nth}`)).equals(content), `file ${nth}`);
});
