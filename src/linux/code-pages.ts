import { readFileSync } from 'node:fs';
import type { KoffiFunc } from 'koffi';
import { libc } from './libc.ts';

const MADV_DONTNEED = 4;

const madvise: KoffiFunc<(address: bigint, length: bigint, advice: number) => number> = libc.func(
  'int madvise(uintptr_t, size_t, int)',
);

/**
 * Unmaps the pages of this program's code, most of which only its start needed: 20 MB of resident memory. The code
 * stays in the page cache of the kernel, and a page is mapped again, with its neighbours, when it is executed. A
 * mapping that something has written to, as a debugger does, is left as it is.
 */
export function unmapCodePages(): void {
  const mappings = readFileSync('/proc/self/smaps', 'latin1');
  for (const { index, groups } of mappings.matchAll(codeMapping)) {
    if (!/^Anonymous: +0 kB$/m.test(mappings.slice(index, mappings.indexOf('\nVmFlags', index)))) continue;
    const start = BigInt(`0x${groups?.['start']}`);
    madvise(start, BigInt(`0x${groups?.['end']}`) - start, MADV_DONTNEED);
  }
}

/** The first line of a mapping of the program file that is executed and cannot be written (proc_pid_smaps(5)). */
const codeMapping = new RegExp(
  String.raw`^(?<start>[0-9a-f]+)-(?<end>[0-9a-f]+) r-xp .* ${RegExp.escape(process.execPath)}$`,
  'gm',
);
