import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { Keyring } from '../../src/oci/credential.ts';
import type { Descriptor } from '../../src/oci/descriptor.ts';
import { toDigest } from '../../src/oci/digest.ts';
import type { SignatureRecords } from '../../src/ports/records.ts';
import type { Registry } from '../../src/ports/registry.ts';
import type { Trust } from '../../src/ports/trust.ts';
import { createSignatureCheck } from '../../src/volume/access/signature-check.ts';

const signal = new AbortController().signal;
const keyring: Keyring = {
  id: 'k',
  find: async () => ({ kind: 'anonymous', holder: { kind: 'anyone' }, source: '' }),
};
const digestOf = (bytes: Buffer) => toDigest('sha256', createHash('sha256').update(bytes).digest('hex'));

test('a repository full of alleged signatures does not fill the memory', async () => {
  const bytes = Buffer.alloc(4 * 1024 * 1024);
  const descriptor: Descriptor = {
    mediaType: '',
    digest: digestOf(bytes),
    size: bytes.length,
    annotations: {},
  };
  let read = 0;
  const trust: Trust = {
    async verify(_reference, _digest, source) {
      for (let candidate = 0; candidate < 64; candidate++) {
        try {
          await source.blob(descriptor, signal);
        } catch (thrown) {
          if ((thrown as { code?: string }).code === 'not-found') break; // none is kept
          throw thrown;
        }
        read += bytes.length;
      }
      return { kind: 'refused', why: 'none of them is one' };
    },
  };
  const registry = {
    blob: async (_reference: unknown, _descriptor: unknown, sink: { write(chunk: Uint8Array): void }) =>
      sink.write(bytes),
  } as unknown as Registry;
  const records = { find: async () => undefined } as unknown as SignatureRecords;
  const signatures = createSignatureCheck({ trust, registry, signatures: records });
  const reference = { registry: 'registry.example', path: 'team/model', tag: 'v1' };
  await assert.rejects(signatures.verify(reference, descriptor.digest, keyring, signal), {
    message: /more than 16\.0 MiB of them/,
  });
  assert.equal(read, 16 * 1024 * 1024);
});
