import assert from 'node:assert/strict';
import {
  closeSync,
  lstatSync,
  opendirSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { directory, symlink } from '../../test/support/oci/nodes.ts';
import { writeImageFile } from '../../test/support/os/erofs-image.ts';
import { temporaryDirectory } from '../../test/support/os/temporary.ts';
import { needs } from '../../test/support/project/tools.ts';
import { createErofsMount } from '../linux/erofs.ts';
import { getXattr } from '../linux/xattr.ts';
import { toDigest } from '../oci/digest.ts';
import type { FileNode } from '../tree/tree.ts';
import { errnoOf } from '../util/error.ts';

const source = { kind: 'tar', digest: toDigest('sha256', '5'.repeat(64)) } as const;
const blocks = 64;

function file(body: number, size: number): FileNode {
  const attributes = { mode: 0o644, uid: 0, gid: 0, mtime: 1n, xattrs: { 'user.a': 'value' } };
  return { kind: 'file', source, body, size, attributes, layer: 'layer 0' };
}

const tree = directory({
  ...Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`file-${n}`, file(n, 300 + n)])),
  d: directory({ deep: directory({ f: file(3, 303), to: symlink('../f') }), long: symlink('t'.repeat(900)) }),
});

/** Of a damaged tree, which may be endless: a directory may contain itself, and a file claim any size. */
const bounds = { entries: 500, depth: 6, bytes: 4096 } as const;

/** Node has no name for EUCLEAN, which most damage is. */
function verifyErrno(thrown: unknown): void {
  assert.match(errnoOf(thrown) ?? String(thrown), /^(E[A-Z0-9]+|Unknown system error -\d+)$/);
}

/** Looks at everything that a damaged image shows. Returns how often the kernel answered with an error. */
function walk(root: string): number {
  let errors = 0;
  let entries = 0;
  const attempt = (look: () => void): void => {
    try {
      look();
    } catch (thrown) {
      verifyErrno(thrown);
      errors++;
    }
  };
  const read = (path: string): void => {
    const fd = openSync(path, 'r');
    try {
      readSync(fd, Buffer.alloc(bounds.bytes), 0, bounds.bytes, 0);
      getXattr(fd, 'user.a');
    } finally {
      closeSync(fd);
    }
  };
  const visit = (path: string, depth: number): void => {
    using names = opendirSync(path);
    for (let entry = names.readSync(); entry !== null; entry = names.readSync()) {
      if (++entries > bounds.entries) return;
      const at = `${path}/${entry.name}`;
      attempt(() => {
        const stats = lstatSync(at);
        if (stats.isFile()) read(at);
        else if (stats.isSymbolicLink()) readlinkSync(at);
        else if (stats.isDirectory() && depth < bounds.depth) visit(at, depth + 1);
      });
    }
  };
  attempt(() => visit(root, 0));
  return errors;
}

test('an image with random damage gives errors or wrong names, and nothing worse', needs('root'), async t => {
  await using temporary = await temporaryDirectory();
  const device = join(temporary.path, 'device');
  writeFileSync(device, Buffer.alloc(blocks * 512, 'bytes'));
  const whole = join(temporary.path, 'whole');
  writeImageFile(whole, tree, { blocks });
  const bytes = readFileSync(whole);
  const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })), {
    minLength: 1,
    maxLength: 40,
  });
  const seen = { refused: 0, errors: 0, whole: 0 };
  let run = 0;
  fc.assert(
    fc.property(flips, fc.constantFrom(0, 1024), (damage, from) => {
      const damaged = Buffer.from(bytes);
      for (const [at, bits] of damage) {
        const place = Math.max(at, from);
        damaged[place] = (damaged[place] ?? 0) ^ bits;
      }
      const image = join(temporary.path, String(run++));
      writeFileSync(image, damaged);
      let errors = 0;
      try {
        using mount = createErofsMount({ image, devices: [device] });
        errors = walk(`/proc/self/fd/${mount.fd}/.`);
      } catch (thrown) {
        verifyErrno(thrown);
        seen.refused++;
        return;
      }
      if (errors > 0) seen.errors++;
      else seen.whole++;
    }),
    { numRuns: 150 },
  );
  t.diagnostic(JSON.stringify(seen));
  assert.ok(seen.errors > 0 && seen.refused > 0);
});
