import { closeSync, openSync, writeSync } from 'node:fs';
import { openFsContext } from './fs-context.ts';
import { formatResend } from './fuse-wire.ts';
import type { DetachedMount } from './mount.ts';

/** A FUSE filesystem that is attached nowhere, and the descriptor by which it is served. */
export type FuseMount = { readonly device: number; readonly mount: DetachedMount };

/**
 * Creates one (fuse(4)). Everybody may read it who can open a file of it. It ends when the descriptor is closed: later
 * requests fail with ENOTCONN.
 *
 * @param context the SELinux context of its files.
 * @throws ENOENT, EPERM or ENODEV if this process or this kernel has no FUSE.
 */
export function createFuseMount(context: string | undefined): FuseMount {
  using stack = new DisposableStack();
  const device = openSync('/dev/fuse', 'r+');
  stack.defer(() => closeSync(device));
  using fs = openFsContext('fuse', '/dev/fuse');
  fs.set('source', 'oci-artifact-csi');
  fs.set('fd', String(device));
  fs.set('rootmode', '40000');
  fs.set('user_id', '0');
  fs.set('group_id', '0');
  fs.setFlag('allow_other');
  if (context !== undefined) fs.set('context', context);
  const mount = fs.mount();
  stack.move();
  return { device, mount };
}

/**
 * The same by descriptors of an earlier process, which no longer serves it. What that process received and did not
 * answer is received again. The descriptors are closed if it throws.
 *
 * @throws EINVAL before Linux 6.9.
 */
export function continueFuseMount(device: number, mount: number): FuseMount {
  using stack = new DisposableStack();
  stack.adopt(device, closeSync);
  stack.adopt(mount, closeSync);
  writeSync(device, formatResend());
  stack.move();
  return { device, mount: { fd: mount, [Symbol.dispose]: () => closeSync(mount) } };
}
