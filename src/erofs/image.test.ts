import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { directory, symlink } from '../../test/support/oci/nodes.ts';
import { cpuTime } from '../../test/support/os/cpu-time.ts';
import { writeImageFile } from '../../test/support/os/erofs-image.ts';
import { runProgram } from '../../test/support/os/program.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import { createErofsMount } from '../linux/erofs.ts';
import { getXattr } from '../linux/xattr.ts';
import { toDigest } from '../oci/digest.ts';
import type { EntryAttributes } from '../tree/toc.ts';
import type { DirectoryNode, FileNode, TreeNode } from '../tree/tree.ts';
import { decodeName, encodeName } from '../util/name.ts';
import { doAtOnce } from '../util/pace.ts';
import { writeImage } from './image.ts';
import { planImage } from './image-plan.ts';

const source = { kind: 'bodies', digest: toDigest('sha256', '5'.repeat(64)) } as const;
const plain: EntryAttributes = { mode: 0o644, uid: 0, gid: 0, mtime: 0n };
const blocks = 64;

function file(body: number, size: number, attributes: EntryAttributes = plain): FileNode {
  return { kind: 'file', source, body, size, attributes, layer: 'layer 0' };
}

/** The bytes of the device, different in each block. */
function deviceBytes(blockSize: number): Buffer {
  const bytes = Buffer.alloc(blocks * blockSize);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Math.floor(at / blockSize) * 31 + at;
  return bytes;
}

/** What is at a path, and its attributes. */
type Line = readonly [path: string, what: string, attributes: string];

/** What a tree shows: every name, attribute and byte. */
function describeTree(root: DirectoryNode, device: Buffer, blockSize: number): readonly Line[] {
  const lines: Line[] = [];
  const links = new Map<number, number>();
  const visit = (path: string, node: TreeNode): void => {
    const { mode, uid, gid, mtime, xattrs = {} } = node.attributes;
    const own = `${mode.toString(8)} ${uid}:${gid} ${mtime} ${formatXattrs(Object.entries(xattrs))}`;
    if (node.kind === 'symlink') lines.push([path, `-> ${node.target}`, own]);
    else if (node.kind === 'file') {
      links.set(node.body, (links.get(node.body) ?? 0) + 1);
      const bytes = device.subarray(node.body * blockSize, node.body * blockSize + node.size);
      lines.push([path, hash('md5', bytes), `${own} ${node.body}`]);
    } else {
      const directories = [...node.children].filter(([, child]) => child.kind === 'directory');
      lines.push([path, 'directory', `${own} links ${2 + directories.length}`]);
      for (const [name, child] of node.children) visit(`${path}/${name}`, child);
    }
  };
  visit('', root);
  return sort(
    lines.map(([path, what, own]) => {
      const body = /^[0-9a-f]{32}$/.test(what) ? own.slice(own.lastIndexOf(' ') + 1) : undefined;
      if (body === undefined) return [path, what, own];
      return [path, what, `${own.slice(0, own.lastIndexOf(' '))} links ${links.get(Number(body))}`];
    }),
  );
}

/** The same of a directory of the machine. */
function describeDirectory(root: string): readonly Line[] {
  const lines: Line[] = [];
  const visit = (path: string): void => {
    const bytes = encodeName(`${root}${path}`);
    const { mode, nlink, uid, gid, mtimeNs } = lstatSync(bytes, { bigint: true });
    const stat = `${(Number(mode) & 0o7777).toString(8)} ${uid}:${gid} ${mtimeNs}`;
    if ((Number(mode) & 0o170000) === 0o120000) {
      lines.push([path, `-> ${decodeName(readlinkSync(bytes, 'buffer'))}`, `${stat} []`]);
      return;
    }
    const own = `${stat} ${formatXattrs(xattrsOf(bytes))} links ${nlink}`;
    if ((Number(mode) & 0o170000) === 0o100000) lines.push([path, hash('md5', readFileSync(bytes)), own]);
    else {
      lines.push([path, 'directory', own]);
      for (const name of readdirSync(bytes, { encoding: 'buffer' })) visit(`${path}/${decodeName(name)}`);
    }
  };
  visit('');
  return sort(lines);
}

function xattrsOf(path: Buffer): readonly (readonly [string, string])[] {
  using open = opened(path);
  return names.flatMap(name => {
    const value = getXattr(open.fd, name);
    return value === undefined ? [] : [[name, Buffer.from(value).toString('latin1')] as const];
  });
}

function formatXattrs(xattrs: readonly (readonly [string, string])[]): string {
  return JSON.stringify(
    xattrs.toSorted(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other))),
  );
}

function sort(lines: readonly Line[]): readonly Line[] {
  return lines.toSorted(([one], [other]) => Buffer.compare(encodeName(one), encodeName(other)));
}

function opened(path: string | Buffer): Disposable & { readonly fd: number } {
  const fd = openSync(path, 'r');
  return { fd, [Symbol.dispose]: () => closeSync(fd) };
}

const names = ['user.a', 'user.long', `user.${'n'.repeat(200)}`];
const attributes = fc.record(
  {
    mode: fc.integer({ min: 0, max: 0o1777 }),
    uid: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff_fffe })),
    gid: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff_fffe })),
    mtime: fc.oneof(fc.constant(0n), fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n })),
    xattrs: fc.dictionary(
      fc.constantFrom(...names),
      fc.oneof(fc.string({ maxLength: 40, unit: 'binary-ascii' }), fc.constant('v'.repeat(5000))),
    ),
  },
  { requiredKeys: ['mode', 'uid', 'gid', 'mtime'] },
);
const name = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 12, unit: 'binary' }),
    fc.uint8Array({ minLength: 1, maxLength: 255 }).map(decodeName),
    fc.constantFrom('-', '...', '!'),
    fc.tuple(fc.integer({ min: 100, max: 240 }), fc.nat(99)).map(([n, end]) => `${'l'.repeat(n)}${end}`),
  )
  .filter(text => !/[/\0]/.test(text) && text !== '.' && text !== '..');

/** A body has one set of attributes and one size, like an inode. */
const files = fc.array(fc.tuple(fc.nat(1700), attributes), { minLength: blocks - 4, maxLength: blocks - 4 });
const { root } = fc.letrec<{ root: Shape; node: Shape }>(tie => ({
  root: fc.record({
    kind: fc.constant('directory'),
    attributes,
    children: fc.uniqueArray(fc.tuple(name, tie('node')), { maxLength: 40, selector: ([text]) => text }),
  }),
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.record({ kind: fc.constant('file'), body: fc.nat(blocks - 5) }),
    fc.record({
      kind: fc.constant('symlink'),
      target: fc.integer({ min: 1, max: 4095 }).map(length => 't'.repeat(length)),
      attributes,
    }),
    tie('root'),
  ),
}));
type Shape =
  | { readonly kind: 'file'; readonly body: number }
  | { readonly kind: 'symlink'; readonly target: string; readonly attributes: EntryAttributes }
  | {
      readonly kind: 'directory';
      readonly attributes: EntryAttributes;
      readonly children: readonly (readonly [string, Shape])[];
    };

function toNode(shape: Shape, bodies: readonly (readonly [number, EntryAttributes])[]): TreeNode {
  switch (shape.kind) {
    case 'file': {
      const [size = 0, of = plain] = bodies[shape.body] ?? [];
      return file(shape.body, size, of);
    }
    case 'symlink': {
      const { mode: _mode, xattrs: _xattrs, ...rest } = shape.attributes;
      return symlink(shape.target, { ...rest, mode: 0o777 });
    }
    case 'directory':
      return {
        kind: 'directory',
        attributes: shape.attributes,
        layer: 'layer 0',
        children: new Map(shape.children.map(([text, child]) => [text, toNode(child, bodies)])),
      };
  }
}

test('equal trees have the same image, byte for byte', () => {
  const bytesOf = (tree: TreeNode): Buffer => {
    const place = ({ body }: FileNode) => ({ device: 1, block: body });
    const plan = doAtOnce(planImage(tree as DirectoryNode, { blockSize: 512, sizes: [blocks] }, place));
    return Buffer.concat(Array.from(writeImage(plan), slice => Buffer.from(slice)));
  };
  fc.assert(
    fc.property(root, files, (shape, bodies) => {
      assert.ok(bytesOf(toNode(shape, bodies)).equals(bytesOf(toNode(shape, bodies))));
    }),
  );
});

const trees = fc.tuple(root, files).map(([shape, bodies]) => toNode(shape, bodies) as DirectoryNode);

test('the kernel shows random trees with every name, attribute and byte', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  const device = join(temporary.path, 'device');
  const bytes = deviceBytes(512);
  writeFileSync(device, bytes);
  let run = 0;
  fc.assert(
    fc.property(trees, tree => {
      const image = join(temporary.path, String(run++));
      writeImageFile(image, tree, { blocks });
      using mount = createErofsMount({ image, devices: [device] });
      assert.deepEqual(describeDirectory(`/proc/self/fd/${mount.fd}/.`), describeTree(tree, bytes, 512));
    }),
    { numRuns: 60 },
  );
});

test(
  'fsck.erofs accepts random trees, and extracts the same names and bytes',
  needs('fsck.erofs'),
  async () => {
    await using temporary = await temporaryDirectory();
    const device = join(temporary.path, 'device');
    const bytes = deviceBytes(4096);
    writeFileSync(device, bytes);
    let run = 0;
    const contentOf = (lines: readonly Line[]): readonly string[] =>
      lines.map(([path, what]) => `${path} ${what}`);
    fc.assert(
      fc.property(trees, tree => {
        const image = join(temporary.path, `image-${run}`);
        const into = join(temporary.path, `extracted-${run++}`);
        writeImageFile(image, tree, { blockSize: 4096, blocks });
        runProgram('fsck.erofs', `--device=${device}`, `--extract=${into}`, image);
        assert.deepEqual(contentOf(describeDirectory(into)), contentOf(describeTree(tree, bytes, 4096)));
      }),
      { numRuns: 20 },
    );
  },
);

test('a directory of 70,000 names, and a file beyond 4 GiB, are shown', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  const device = join(temporary.path, 'device');
  const image = join(temporary.path, 'image');
  const large = 5 * 2 ** 30;
  const fd = openSync(device, 'w');
  ftruncateSync(fd, large);
  writeSync(fd, 'end', large - 3);
  closeSync(fd);
  const many = Object.fromEntries(
    Array.from({ length: 70_000 }, (_, n) => [`name-${(n * 7919) % 70_000}`, file(0, 1)]),
  );
  writeImageFile(image, directory({ many: directory(many), large: file(8, large - 4096) }), {
    blocks: large / 512,
  });
  using mount = createErofsMount({ image, devices: [device] });
  const shown = `/proc/self/fd/${mount.fd}`;
  assert.equal(readdirSync(join(shown, 'many')).length, 70_000);
  assert.equal(lstatSync(join(shown, 'many', 'name-69999')).size, 1);
  assert.equal(lstatSync(join(shown, 'large')).size, large - 4096);
  using open = opened(join(shown, 'large'));
  const end = Buffer.alloc(3);
  readSync(open.fd, end, 0, 3, large - 4096 - 3);
  assert.equal(end.toString(), 'end');
});

test('files are found in each of 300 devices', needs('root'), async () => {
  await using temporary = await temporaryDirectory();
  const devices = Array.from({ length: 300 }, (_, n) => join(temporary.path, `device-${n}`));
  const contentOf = (n: number): Buffer => Buffer.alloc(500, String(n));
  for (const [n, path] of devices.entries())
    writeFileSync(path, Buffer.concat([Buffer.alloc(512), contentOf(n), Buffer.alloc(12)]));
  const tree = directory(Object.fromEntries(devices.map((_, n) => [`f${n}`, file(n, 500)])));
  const plan = doAtOnce(
    planImage(tree, { blockSize: 512, sizes: devices.map(() => 2) }, ({ body }) => ({
      device: body + 1,
      block: 1,
    })),
  );
  const image = join(temporary.path, 'image');
  writeFileSync(image, Buffer.concat(Array.from(writeImage(plan), slice => Buffer.from(slice))));
  using mount = createErofsMount({ image, devices });
  for (const n of devices.keys())
    assert.ok(readFileSync(`/proc/self/fd/${mount.fd}/f${n}`).equals(contentOf(n)));
});

test('a million files take seconds, and 64 bytes each beside their names', () => {
  const name = 'x'.repeat(20);
  const count = 1_000_000;
  const each = 1000;
  const held = (): number => process.memoryUsage().arrayBuffers;
  const before = held();
  const start = cpuTime();
  let size = 0;
  const lazy = (children: () => Iterable<readonly [string, TreeNode]>): DirectoryNode => ({
    ...directory({}),
    children: {
      get: () => undefined,
      values: () => [],
      [Symbol.iterator]: () => children()[Symbol.iterator](),
    },
  });
  const tree = lazy(function* all() {
    for (let nth = 0; nth < count / each; nth++)
      yield [
        `directory-${nth}`,
        lazy(function* some() {
          for (let n = 0; n < each; n++) yield [`${name}${(n * 7919) % each}`, file(nth * each + n, 1)];
        }),
      ];
  });
  const devices = { blockSize: 512, sizes: [count] };
  const plan = doAtOnce(planImage(tree, devices, ({ body }) => ({ device: 1, block: body })));
  const taken = held() - before;
  for (const slice of writeImage(plan)) size += slice.length;
  const page = 64 * 1024; // the largest of Linux: the image ends with one
  assert.equal(size, Math.ceil((plan.blocks * 512) / page) * page);
  assert.ok(taken < count * (64 + name.length + 4), `${taken} bytes`);
  assert.ok(cpuTime() - start < 20_000, `${cpuTime() - start} ms`);
});
