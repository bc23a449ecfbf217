import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

/** An artifact for a cold pull. */
export type Row = {
  readonly name: string;
  /** Writes the files to push and returns the arguments for `oras push`. */
  readonly make: (directory: string) => Promise<readonly string[]>;
  readonly tls?: true;
  /** The other program, and the permitted ratio of wall times; a row without a bar is for information. */
  readonly rival: 'oras pull' | 'curl | tar xz';
  readonly bar?: number;
};

const MiB = 1024 * 1024;

/**
 * The rows of cold pulls; the cached publish is in cached.ts. The row that leaves many deleted files is the last: for
 * five minutes ext4 reuses none of their inodes, and searches past all of them for each new file.
 */
export const rows: readonly Row[] = [
  { name: '1x1GiB', make: directory => writeBlobs(directory, 1, 1024), rival: 'oras pull', bar: 1 },
  { name: '8x128MiB', make: directory => writeBlobs(directory, 8, 128), rival: 'oras pull', bar: 1 },
  { name: '1000-small', make: writeLines, rival: 'oras pull', bar: 1 },
  { name: '1x1GiB-tls', make: directory => writeBlobs(directory, 1, 1024), tls: true, rival: 'oras pull' },
  { name: '50000-files', make: writeTree, rival: 'curl | tar xz', bar: 2 },
];

/** Incompressible bytes, at the speed of AES. */
async function writeBlobs(directory: string, count: number, mebibytes: number): Promise<readonly string[]> {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const zeros = Buffer.alloc(MiB);
  const names = Array.from({ length: count }, (_, index) => `blob-${index}.bin`);
  for (const name of names) {
    await using file = await open(join(directory, name), 'w');
    for (let written = 0; written < mebibytes; written++) await file.write(cipher.update(zeros));
  }
  return names;
}

async function writeLines(directory: string): Promise<readonly string[]> {
  const names = Array.from({ length: 1000 }, (_, index) => `line-${index}.txt`);
  for (const name of names)
    writeFileSync(join(directory, name), `this is ${name} ${randomBytes(8).toString('hex')}\n`);
  return names;
}

/** 141 MB in 50,000 files of 500 directories, half text: tar+gzip compresses it to about 63 MB. */
async function writeTree(directory: string): Promise<readonly string[]> {
  for (let index = 0; index < 500; index++) {
    const inner = join(directory, 'tree', `directory-${index}`);
    mkdirSync(inner, { recursive: true });
    for (let number = 0; number < 100; number++) {
      const noise = randomBytes(900);
      writeFileSync(join(inner, `file-${number}`), `${noise.toString('hex')}${'the same again '.repeat(68)}`);
    }
  }
  return ['tree'];
}
