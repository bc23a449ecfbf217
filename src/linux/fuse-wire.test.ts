import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  formatAttributes,
  formatDone,
  formatEntry,
  formatError,
  formatHead,
  formatInit,
  formatOpen,
  parseRequest,
  rootNode,
} from './fuse-wire.ts';

/** A request as the kernel sends it: a header of 40 bytes, and a body. */
function message(opcode: number, node: number, body: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32LE(40 + body.length, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(77n, 8);
  header.writeBigUInt64LE(BigInt(node), 16);
  return Buffer.concat([header, body]);
}

const words = (...values: readonly number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer);
const longs = (...values: readonly bigint[]): Buffer => Buffer.from(BigUint64Array.from(values).buffer);

test('requests are parsed by their opcode', () => {
  const unique = 77n;
  for (const [sent, want] of [
    [message(1, 1, Buffer.from('7.300\0')), { kind: 'lookup', unique, name: '7.300' }],
    [message(2, 9, longs(3n)), { kind: 'forget', unique, nodes: [{ node: 9, lookups: 3 }] }],
    [message(3, 9), { kind: 'attributes', unique, node: 9 }],
    [message(14, 9), { kind: 'open', unique }],
    [
      message(15, 9, Buffer.concat([longs(0n, 2n ** 40n), words(131_072, 0)])),
      { kind: 'read', unique, node: 9, offset: 2 ** 40, length: 131_072 },
    ],
    [message(18, 9), { kind: 'release', unique, node: 9 }],
    [message(26, 0, words(7, 31, 0, 5)), { kind: 'init', unique, minor: 31, features: 5n }],
    [message(26, 0, words(7, 45, 0, 5, 2)), { kind: 'init', unique, minor: 45, features: 0x2_0000_0005n }],
    [message(36, 0, longs(5n)), { kind: 'interrupt', unique }],
    [message(38, 0), { kind: 'destroy', unique }],
    [
      message(42, 0, Buffer.concat([words(2, 0), longs(9n, 1n, 10n, 4n)])),
      {
        kind: 'forget',
        unique,
        nodes: [
          { node: 9, lookups: 1 },
          { node: 10, lookups: 4 },
        ],
      },
    ],
    [message(4711, 9), { kind: 'other', unique }],
  ] as const)
    assert.deepEqual(parseRequest(sent), want);
});

test('an answer says its own length, and repeats what names the request', () => {
  const init = { kind: 'init', unique: 5n, minor: 45, features: 2n ** 64n - 1n } as const;
  for (const answer of [
    formatAttributes(5n, { node: 3, size: 4096 }),
    formatDone(5n),
    formatEntry(5n, { node: 3, size: 4096 }),
    formatError(5n, 2),
    formatInit(init, 300),
    formatOpen(5n),
  ]) {
    assert.equal(answer.readUInt32LE(0), answer.length);
    assert.equal(answer.readBigUInt64LE(8), 5n);
  }
  assert.equal(formatHead(5n, 4096).readUInt32LE(0), 16 + 4096);
  assert.equal(formatError(5n, 2).readInt32LE(4), -2);
  assert.equal(formatDone(5n).readInt32LE(4), 0);
});

test('INIT takes only features that the kernel has, and a time limit only with its feature', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.integer({ min: 1, max: 100_000 }),
      (features, seconds) => {
        const body = formatInit({ kind: 'init', unique: 1n, minor: 45, features }, seconds).subarray(16);
        const taken = BigInt(body.readUInt32LE(12)) | (BigInt(body.readUInt32LE(32)) << 32n);
        assert.equal(taken & ~features, 0n);
        assert.equal(
          body.readUInt16LE(40),
          (features & (1n << 42n)) === 0n || seconds > 65_535 ? 0 : seconds,
        );
        assert.equal(body.readUInt16LE(16), 16_384);
      },
    ),
  );
});

test('the root is a directory, and every other node a file that only its owner reads', () => {
  const modeOf = (node: number, size: number): number =>
    formatEntry(1n, { node, size })
      .subarray(16 + 40)
      .readUInt32LE(60);
  assert.equal(modeOf(rootNode, 0), 0o040500);
  assert.equal(modeOf(9, 5), 0o100400);
  assert.equal(
    formatEntry(1n, { node: 9, size: 2 ** 40 })
      .subarray(16 + 40)
      .readBigUInt64LE(8),
    2n ** 40n,
  );
});
