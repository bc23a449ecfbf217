import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { errnoOf } from '../../../src/util/error.ts';
import { readTree } from '../oci/tree.ts';
import { listMounts, type MountLine } from '../os/mounts.ts';

/** The content of a volume, in the form of readTree. */
export type Shown = Readonly<Record<string, string>>;

/** The expected content of a volume with these files. */
export function shownOf(files: Iterable<readonly [path: string, bytes: string | Uint8Array]>): Shown {
  const shown: Record<string, string> = {};
  for (const [path, bytes] of files) {
    for (let above = dirname(path); above !== '.'; above = dirname(above)) shown[above] = 'directory';
    const hex = createHash('sha256').update(bytes).digest('hex');
    shown[path] = `${Buffer.byteLength(bytes)} bytes ${hex}`;
  }
  return shown;
}

/** The mounts on a target, the lowest first. */
export function mountsAt(target: string): readonly MountLine[] {
  return listMounts().filter(({ mountPoint }) => mountPoint === target);
}

/** Asserts one read-only mount, with every byte right. */
export function verifyVolume(target: string, shown: Shown): void {
  const mounts = mountsAt(target);
  assert.equal(mounts.length, 1, `${target} has one mount`);
  for (const option of ['ro', 'nosuid', 'nodev']) assert.ok(mounts[0]?.options.includes(option), option);
  assert.deepEqual(readTree(target), shown);
}

/** Asserts that there is no mount and no directory. */
export function verifyGone(target: string): void {
  assert.equal(mountsAt(target).length, 0, `${target} has no mount`);
  assert.ok(!existsSync(target), `${target} is gone`);
}

/**
 * Asserts that every blob of a state directory has the bytes of its name; blobs that are collected meanwhile are
 * ignored.
 */
export function verifyBlobs(stateDir: string): void {
  for (const algorithm of ['sha256', 'sha512']) {
    const directory = join(stateDir, 'blobs', algorithm);
    // A daemon that was killed at its first start has created none yet.
    for (const hex of existsSync(directory) ? readdirSync(directory) : []) {
      const bytes = readIfThere(join(directory, hex));
      const actual = bytes && createHash(algorithm).update(bytes).digest('hex');
      assert.ok(actual === undefined || actual === hex, `the blob ${algorithm}:${hex} has other bytes`);
    }
  }
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The target paths that have a volume record on disk. A record that a kill left torn counts as absent. */
export function recordedTargets(stateDir: string): readonly string[] {
  const directory = join(stateDir, 'volumes');
  return readdirSync(directory).flatMap(name => {
    const text = readFileSync(join(directory, name), 'utf8');
    return text.endsWith('}') ? (JSON.parse(text) as { targetPath: string }).targetPath : [];
  });
}
