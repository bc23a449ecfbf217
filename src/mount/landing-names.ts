import { createHash } from 'node:crypto';
import { rootNode } from '../linux/fuse-wire.ts';

/**
 * What the thread of landings is given. `waking`: the node of a file that the process opens, and closes to end the
 * thread. The kernel reports that, and waits for no answer: Node stops the thread of a process that exits before it can
 * give one. `isOpen`: whether the connection is that of an earlier process.
 */
export type LandingThread = {
  readonly device: number;
  readonly timeoutSeconds: number;
  readonly waking: number;
  readonly isOpen: boolean;
};

/** What it reports: that it serves, and each read. */
export type LandingEvent =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'read';
      readonly unique: bigint;
      readonly node: number;
      readonly offset: number;
      readonly length: number;
    };

const nodeBytes = 6;

/** The node of a landing, which is the same in each process that serves it, of any version. It is not the root. */
export function nodeOf(key: string): number {
  return 2 ** (8 * nodeBytes) + createHash('sha256').update(key).digest().readUIntBE(0, nodeBytes);
}

/** The kernel reads whole blocks, of at most so many bytes. */
const maxBlock = 4096;

/** The name of a landing has all that the thread must know: its node and its size in bytes. */
export function formatName(node: number, size: number): string {
  return `${node}.${size}`;
}

/** Returns the node of a name, and its size in whole blocks. */
export function parseName(name: string): { readonly node: number; readonly size: number } | undefined {
  const [, node, size] = /^([1-9][0-9]{0,14})\.([0-9]{1,15})$/.exec(name) ?? [];
  if (node === undefined || size === undefined || Number(node) <= rootNode) return undefined;
  return { node: Number(node), size: Math.ceil(Number(size) / maxBlock) * maxBlock };
}
