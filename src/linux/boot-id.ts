import { readFileSync } from 'node:fs';

/** Returns the kernel's random ID of this boot (proc_sys_kernel(5)): another one shows that unwritten data may be lost. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}
