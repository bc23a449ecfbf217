/**
 * The messages between the kernel and the server of a FUSE filesystem (include/uapi/linux/fuse.h in Linux), as far as a
 * server of one directory with files that are only read needs them. Numbers have the byte order of the machine, which is
 * little-endian on both architectures.
 */

/** `unique` names a request, and is repeated in its answer. The root is node 1. */
export type FuseRequest = { readonly unique: bigint } & (
  | { readonly kind: 'init'; readonly minor: number; readonly features: bigint }
  | { readonly kind: 'lookup'; readonly name: string }
  | { readonly kind: 'attributes'; readonly node: number }
  | { readonly kind: 'open' }
  | { readonly kind: 'read'; readonly node: number; readonly offset: number; readonly length: number }
  | { readonly kind: 'forget'; readonly nodes: readonly Forgotten[] }
  | { readonly kind: 'release'; readonly node: number }
  | { readonly kind: 'destroy' }
  | { readonly kind: 'interrupt' }
  | { readonly kind: 'other' }
);

/** So many lookups of a node are no longer remembered by the kernel. */
type Forgotten = { readonly node: number; readonly lookups: number };

/** The room that the kernel wants for a request. */
export const requestBytes = 8192;

export const rootNode = 1;

const opcode = {
  lookup: 1,
  forget: 2,
  attributes: 3,
  open: 14,
  read: 15,
  release: 18,
  init: 26,
  interrupt: 36,
  destroy: 38,
  forgetMany: 42,
} as const;

const headerIn = 40;
const headerOut = 16;

/** Features of INIT. */
const FUSE_ASYNC_READ = 1n << 0n;
const FUSE_ASYNC_DIO = 1n << 15n;
const FUSE_MAX_PAGES = 1n << 22n;
const FUSE_INIT_EXT = 1n << 30n;
const FUSE_REQUEST_TIMEOUT = 1n << 42n;
/** Of an open file: the kernel does not cache its bytes, and does not wait for them when it reads ahead. */
const FOPEN_DIRECT_IO = 1;
const FOPEN_NOFLUSH = 1 << 5;

/**
 * So many reads are asked for at a time, and the kernel keeps back others. They are more than may wait for missing bytes,
 * so that some are always answered. They are not the most possible ones: a program that reads ahead begins as many within
 * seconds, and those of others are after them.
 */
const maxBackground = 16_384;
const maxWrite = 4096;
const FUSE_NOTIFY_RESEND = 7;
/** Seconds: more cannot be expressed, and are no limit. */
const maxTimeout = 0xffff;
/** A request for bytes is at most 1 MiB. */
const maxPages = 256;
/** Names and attributes of files never change. */
const forever = 0xffff_ffffn;

/** @param message a request, which has its whole length. */
export function parseRequest(message: Buffer): FuseRequest {
  const unique = message.readBigUInt64LE(8);
  const node = Number(message.readBigUInt64LE(16));
  switch (message.readUInt32LE(4)) {
    case opcode.init: {
      const low = BigInt(message.readUInt32LE(headerIn + 12));
      const high = message.length >= headerIn + 20 ? BigInt(message.readUInt32LE(headerIn + 16)) : 0n;
      return {
        kind: 'init',
        unique,
        minor: message.readUInt32LE(headerIn + 4),
        features: low | (high << 32n),
      };
    }
    case opcode.lookup:
      return { kind: 'lookup', unique, name: message.toString('latin1', headerIn, message.length - 1) };
    case opcode.attributes:
      return { kind: 'attributes', unique, node };
    case opcode.open:
      return { kind: 'open', unique };
    case opcode.read: {
      const offset = Number(message.readBigUInt64LE(headerIn + 8));
      return { kind: 'read', unique, node, offset, length: message.readUInt32LE(headerIn + 16) };
    }
    case opcode.forget:
      return { kind: 'forget', unique, nodes: [{ node, lookups: lookupsAt(message, headerIn) }] };
    case opcode.forgetMany: {
      const count = message.readUInt32LE(headerIn);
      const nodes = Array.from({ length: count }, (_, nth) => {
        const at = headerIn + 8 + nth * 16;
        return { node: Number(message.readBigUInt64LE(at)), lookups: lookupsAt(message, at + 8) };
      });
      return { kind: 'forget', unique, nodes };
    }
    case opcode.release:
      return { kind: 'release', unique, node };
    case opcode.destroy:
      return { kind: 'destroy', unique };
    case opcode.interrupt:
      return { kind: 'interrupt', unique };
    default:
      return { kind: 'other', unique };
  }
}

function lookupsAt(message: Buffer, at: number): number {
  return Number(message.readBigUInt64LE(at));
}

/** The head of an answer that is followed by so many bytes. */
export function formatHead(unique: bigint, bytes: number): Buffer {
  const head = Buffer.alloc(headerOut);
  head.writeUInt32LE(headerOut + bytes, 0);
  head.writeBigUInt64LE(unique, 8);
  return head;
}

/** @param errno as in errno(3), positive. */
export function formatError(unique: bigint, errno: number): Buffer {
  const head = formatHead(unique, 0);
  head.writeInt32LE(-errno, 4);
  return head;
}

/**
 * Asks for all requests again that were read and not answered, from Linux 6.9 on (FUSE_NOTIFY_RESEND). They then have
 * other names.
 */
export function formatResend(): Buffer {
  const head = formatHead(0n, 0);
  head.writeInt32LE(FUSE_NOTIFY_RESEND, 4);
  return head;
}

export function formatDone(unique: bigint): Buffer {
  return formatHead(unique, 0);
}

/**
 * Answers INIT: reads are asynchronous, and, where the kernel can, a request that is not answered for so many seconds
 * ends the connection.
 */
export function formatInit(
  { unique, minor, features }: FuseRequest & { readonly kind: 'init' },
  timeoutSeconds: number,
): Buffer {
  const wanted = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_MAX_PAGES | FUSE_INIT_EXT | FUSE_REQUEST_TIMEOUT;
  const taken = wanted & features;
  const body = Buffer.alloc(64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(minor, 4);
  body.writeUInt32LE(Number(taken & 0xffff_ffffn), 12);
  body.writeUInt16LE(maxBackground, 16);
  body.writeUInt16LE(maxBackground, 18);
  body.writeUInt32LE(maxWrite, 20);
  body.writeUInt32LE(1, 24);
  body.writeUInt16LE(maxPages, 28);
  body.writeUInt32LE(Number(taken >> 32n), 32);
  const isLimited = (taken & FUSE_REQUEST_TIMEOUT) !== 0n && timeoutSeconds <= maxTimeout;
  body.writeUInt16LE(isLimited ? timeoutSeconds : 0, 40);
  return answer(unique, body);
}

/** A file, or the root, whose size is 0. */
type FuseNode = { readonly node: number; readonly size: number };

export function formatEntry(unique: bigint, node: FuseNode): Buffer {
  const body = Buffer.alloc(128);
  body.writeBigUInt64LE(BigInt(node.node), 0);
  body.writeBigUInt64LE(forever, 16);
  body.writeBigUInt64LE(forever, 24);
  putAttributes(body.subarray(40), node);
  return answer(unique, body);
}

export function formatAttributes(unique: bigint, node: FuseNode): Buffer {
  const body = Buffer.alloc(104);
  body.writeBigUInt64LE(forever, 0);
  putAttributes(body.subarray(16), node);
  return answer(unique, body);
}

function putAttributes(to: Buffer, { node, size }: FuseNode): void {
  const isRoot = node === rootNode;
  to.writeBigUInt64LE(BigInt(node), 0);
  to.writeBigUInt64LE(BigInt(size), 8);
  to.writeUInt32LE(isRoot ? 0o040500 : 0o100400, 60);
  to.writeUInt32LE(isRoot ? 2 : 1, 64);
  to.writeUInt32LE(4096, 80);
}

export function formatOpen(unique: bigint): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(FOPEN_DIRECT_IO | FOPEN_NOFLUSH, 8);
  return answer(unique, body);
}

function answer(unique: bigint, body: Buffer): Buffer {
  return Buffer.concat([formatHead(unique, body.length), body]);
}
