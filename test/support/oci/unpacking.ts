import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after } from 'node:test';
import { type Digest, toDigest } from '../../../src/oci/digest.ts';
import { bodyDirectory, bodyName, tocName } from '../../../src/tree/layer-files.ts';
import { type LayerForm, placeOf, tarBlock } from '../../../src/tree/toc.ts';
import { unpackLayer } from '../../../src/unpack/job.ts';
import type { UnpackLimits } from '../../../src/unpack/limits.ts';
import { setXattrs } from '../../../src/unpack/xattrs.ts';
import { temporaryDirectory } from '../os/temporary.ts';
import { decodeToc, type Toc } from './toc.ts';

/** Unpacks layers of bytes in this thread, below a directory that is removed after the test file. */
export type Unpacking = {
  readonly directory: string;
  readonly digest: Digest;
  /** The label in errors. */
  readonly label: string;
  unpack(bytes: Uint8Array, limits?: Partial<UnpackLimits>): Promise<Unpacked>;
  unpackFile(source: string, limits?: Partial<UnpackLimits>): Promise<Unpacked>;
};
export type Unpacked = Toc & { readonly into: string };

export const anyLimits: UnpackLimits = { maxEntries: 1_000_000, maxBytes: 2 ** 40, maxRatio: 1000 };

export async function openUnpacking(): Promise<Unpacking> {
  const directory = await temporaryDirectory();
  after(() => directory[Symbol.asyncDispose]());
  // Not sha256, so that the diffId is hashed even for a plain tar.
  const digest = toDigest('sha512', 'a'.repeat(128));
  let sources = 0;

  async function unpackFile(source: string, limits: Partial<UnpackLimits> = {}): Promise<Unpacked> {
    const unpackAs = async (form: LayerForm): Promise<Unpacked> => {
      const into = mkdtempSync(join(directory.path, 'into-'));
      const job = { source, digest, into, form, limits: { ...anyLimits, ...limits } };
      const summary = await unpackLayer(
        job,
        { setXattrs, grow: async () => {}, more: () => assert.fail() },
        new AbortController().signal,
      );
      const toc = decodeToc(readFileSync(join(into, tocName)));
      assert.deepEqual({ ...summary, entries: toc.entries }, toc);
      return { ...toc, into };
    };
    const unpacked = await unpackAs('bodies');
    verifyBodies(unpacked);
    verifyTar(await unpackAs('tar'), unpacked);
    return unpacked;
  }

  return {
    directory: directory.path,
    digest,
    label: `layer ${digest}`,
    unpackFile,
    unpack(bytes, limits) {
      const source = join(directory.path, `source-${sources++}`);
      writeFileSync(source, bytes);
      return unpackFile(source, limits);
    },
  };
}

/** Asserts what holds after every success: the bodies match the table, and nothing else exists. */
function verifyBodies({ entries, into, bytes, bodies }: Unpacked): void {
  const files = entries.filter(entry => entry.kind === 'file');
  assert.deepEqual(
    files.map(file => file.body),
    files.map((_, body) => body),
  );
  const names = files.flatMap(({ body }) => [bodyDirectory(body), bodyName(body)]);
  assert.deepEqual(
    (readdirSync(into, { recursive: true }) as string[]).toSorted(),
    [...new Set([...names, tocName])].toSorted(),
  );
  assert.equal(bodies, files.length);
  for (const file of files) {
    const path = join(into, bodyName(file.body));
    const content = readFileSync(path);
    assert.equal(content.length, file.size);
    assert.equal(createHash('sha256').update(content).digest('hex'), file.sha256);
    assert.equal(statSync(path).mode & 0o7777, file.mode);
  }
  assert.equal(
    bytes,
    files.reduce((sum, file) => sum + file.size, 0),
  );
}

/** Asserts that a layer that is stored as its tar has the same entries and bytes as its bodies. */
function verifyTar(tar: Unpacked, { entries, into, diffId, bytes, bodies }: Unpacked): void {
  assert.deepEqual(
    tar.entries.map(entry => (entry.kind === 'file' ? { ...entry, body: 0, sha256: '' } : entry)),
    entries.map(entry => (entry.kind === 'file' ? { ...entry, body: 0, sha256: '' } : entry)),
  );
  assert.deepEqual([tar.diffId, tar.bytes, tar.bodies], [diffId, bytes, bodies]);
  const places = tar.entries.flatMap(entry => (entry.kind === 'file' ? entry.body : []));
  assert.equal(new Set(places).size, places.length, 'names of one place would be links of one inode');
  const { files = [] } = tar;
  assert.deepEqual(readdirSync(tar.into).toSorted(), [tocName, ...files.map(({ name }) => name)].toSorted());
  for (const { name, size, sha256 } of files) {
    const content = readFileSync(join(tar.into, name));
    assert.equal(content.length, size);
    assert.equal(size % tarBlock, 0);
    assert.equal(createHash('sha256').update(content).digest('hex'), sha256);
  }
  for (const [index, entry] of tar.entries.entries()) {
    const other = entries[index];
    if (entry.kind !== 'file' || other?.kind !== 'file') continue;
    const { file, block } = placeOf(entry.body);
    const shown = Buffer.alloc(entry.size);
    const fd = openSync(join(tar.into, file), 'r');
    assert.equal(readSync(fd, shown, 0, entry.size, block * tarBlock), entry.size);
    closeSync(fd);
    assert.ok(shown.equals(readFileSync(join(into, bodyName(other.body)))), entry.path);
  }
}

/** Kind and path of every entry, the content of files, the target of links. */
export function showToc({ entries, into }: Unpacked): string[] {
  return entries.map(entry => {
    if (entry.kind === 'file')
      return `${entry.path}: ${readFileSync(join(into, bodyName(entry.body)), 'latin1')}`;
    if (entry.kind === 'symlink') return `${entry.path} -> ${entry.target}`;
    if (entry.kind === 'link') return `${entry.path} = ${entry.target}`;
    return entry.kind === 'special' ? `${entry.path} (${entry.what})` : `${entry.path} (${entry.kind})`;
  });
}

/** The paths below a directory that this process has open. */
export function openFiles(directory: string): string[] {
  return readdirSync('/proc/self/fd')
    .map(readDescriptor)
    .filter(path => path.startsWith(directory));
}

function readDescriptor(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // The descriptor of the listing itself.
    return '';
  }
}
