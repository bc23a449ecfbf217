import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { runProgram } from '../support/os/program.ts';
import type { Blob } from './push.ts';

/**
 * Uses memory and frees it. Some virtual machines give free memory back to their host, and then a page that is used
 * again is slow: who comes after a big deletion would win.
 */
export function warmMemory(mebibytes: number): void {
  if (mebibytes === 0) return;
  const script = `
    const kept = [];
    for (let left = Number(process.argv[1]); left > 0; left -= 256) kept.push(Buffer.alloc(256 << 20, 1));
  `;
  runProgram(process.execPath, '--eval', script, String(mebibytes));
}

/** Reads blobs in the directory of a registry, so that they are in the page cache. */
export function cacheBlobs(content: string, blobs: readonly Blob[]): void {
  const paths = blobs.map(({ digest }) => {
    const hex = digest.slice('sha256:'.length);
    return join(content, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
  });
  runProgram('sh', '-c', 'exec cat "$@" > /dev/null', 'sh', ...paths);
}

/** Empties the caches of the kernel: bytes, names and inodes, except what is not on the disk yet. */
export function dropCaches(): void {
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}
