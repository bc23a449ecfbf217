import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { paxEntry, type RawEntry, rawEntry, rawTar } from '../../test/support/oci/raw-tar.ts';
import { openUnpacking } from '../../test/support/oci/unpacking.ts';
import { ArtifactError } from '../util/error.ts';

const { unpack, label } = await openUnpacking();

const file: RawEntry = { name: 'a/f', body: 'x' };
for (const [name, bytes, why] of [
  ['text', Buffer.from('hello'), /claims to be a tar and is none: it ends too early/],
  [
    'random bytes',
    Buffer.alloc(5000, 'random'),
    /claims to be a tar and is none: the checksum of a header is wrong/,
  ],
  ['compressed text', gzipSync('hello'.repeat(500)), /claims to be a tar and is none/],
  [
    'a wrong checksum',
    rawTar(file, { ...file, checksum: '000001\0 ' }),
    /is a damaged tar: the checksum of a header is wrong, after the entry "a\/f"/,
  ],
  [
    'an end in a body',
    rawTar({ ...file, body: 'x'.repeat(2000) }).subarray(0, 1024),
    /ends too early, after the entry "a\/f"/,
  ],
  [
    'an end in the headers',
    Buffer.concat([rawEntry(file), paxEntry({ path: 'b' })]),
    /it ends within the headers of an entry/,
  ],
  [
    'a block of zeros between entries',
    rawTar(file, Buffer.alloc(512), file),
    /is a damaged tar: a block of zeros is in it, after the entry "a\/f"/,
  ],
  ['a sparse file of star', rawTar({ ...file, type: 'S' }), /entry "a\/f": a sparse file of star/],
  [
    'the continuation of a volume',
    rawTar({ ...file, type: 'M' }),
    /"a\/f": the continuation of a file of another volume/,
  ],
  ['a volume label', rawTar({ ...file, type: 'V' }), /"a\/f": a volume label/],
  ['an unknown type', rawTar({ ...file, type: 'Z' }), /"a\/f": of the unknown type "Z"/],
  [
    'an unknown type with a PAX header',
    rawTar(paxEntry({ path: 'b' }), { ...file, type: 'Z' }),
    /"b": of the unknown type "Z"/,
  ],
  [
    'a symlink with data, which is no header',
    rawTar({ name: 's', type: '2', linkname: 'x', body: 'x' }),
    /a damaged tar: the checksum of a header is wrong, after the entry "s"/,
  ],
  [
    'a negative size',
    rawTar({ name: 'f', size: `\xff${'\xff'.repeat(11)}` }),
    /a size that Linux cannot have/,
  ],
  ['a size that is no number', rawTar({ name: 'f', size: '9z' }), /"f": a size that Linux cannot have/],
  [
    'a PAX size that is no number',
    rawTar(paxEntry({ size: '1x' }), { name: 'f', body: 'x' }),
    /"f": a size that Linux cannot have/,
  ],
  [
    'a negative PAX size',
    rawTar(paxEntry({ size: '-1' }), { name: 'f', body: 'x' }),
    /"f": a size that Linux cannot have/,
  ],
  [
    'an owner that no file can have',
    rawTar(paxEntry({ uid: '4294967295' }), file),
    /"a\/f": an owner that Linux cannot have/,
  ],
  ['a negative owner', rawTar({ ...file, uid: Buffer.alloc(8, 0xff) }), /an owner that Linux cannot have/],
  ['an owner that is no number', rawTar(paxEntry({ uid: 'root' }), file), /an owner that Linux cannot have/],
  ['a mode that is none', rawTar({ ...file, mode: 'zzz' }), /a mode that Linux cannot have/],
  [
    'a size of an extended header that is none',
    rawTar({ name: 'x', type: 'x', size: 'z' }, file),
    /a header has a size that is none/,
  ],
  ['a PAX record of no length', rawTar(paxEntry({}, 'x', 'path=x\n'), file), /a PAX header of no meaning/],
  [
    'a PAX record longer than its header',
    rawTar(paxEntry({}, 'x', '99 path=x\n'), file),
    /a PAX header of no meaning/,
  ],
  ['a PAX record of no end', rawTar(paxEntry({}, 'x', '9 path=xx'), file), /a PAX header of no meaning/],
  [
    'a PAX record of negative length',
    rawTar(paxEntry({}, 'x', '-9 path=x\n'), file),
    /a PAX header of no meaning/,
  ],
  ['a PAX record of no key', rawTar(paxEntry({}, 'x', '5 =x\n'), file), /a PAX header of no meaning/],
  [
    'a long name of 5 MiB',
    rawTar({ type: 'L', body: 'x'.repeat(5 << 20) }, file),
    /a PAX header or long name has more than 4 MiB/,
  ],
  [
    'long names without end',
    Buffer.concat(Array.from({ length: 5 }, () => rawEntry({ type: 'L', body: 'x'.repeat(3 << 20) }))),
    /more than 8 MiB of headers/,
  ],
] as const) {
  test(`a tar is refused, naming layer and entry: ${name}`, async () => {
    await assert.rejects(unpack(bytes), (error: unknown) => {
      assert.ok(error instanceof ArtifactError, String(error));
      assert.equal(error.code, 'unmountable');
      assert.ok(error.message.startsWith(label));
      assert.match(error.message, why);
      return true;
    });
  });
}
