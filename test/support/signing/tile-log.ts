import { generateKeyPairSync, hash, sign } from 'node:crypto';

/** A log like Rekor of version 2: it reports no times, and signs checkpoints alone, with an Ed25519 key. */
export type TileLog = {
  readonly name: string;
  /** In DER, and as in `rekorPublicKeyData`. */
  readonly key: Buffer;
  readonly pem: string;
  /** Its ID in entries (C2SP, signed-note.md). */
  readonly id: Buffer;
  /** An entry as in a bundle, the fourth of seven. */
  record(body: { readonly kind: string; readonly apiVersion: string; readonly spec: object }): TileEntry;
};

export type TileEntry = {
  readonly logIndex: string;
  readonly inclusionProof: {
    readonly logIndex: string;
    readonly rootHash: string;
    readonly treeSize: string;
    readonly checkpoint: { readonly envelope: string };
    readonly hashes: readonly string[];
  };
  readonly canonicalizedBody: string;
};

export function openTileLog(name = 'log2026.rekor.test'): TileLog {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const key = publicKey.export({ type: 'spki', format: 'der' });
  const id = sha256(Buffer.from(`${name}\n`), Buffer.of(1), key.subarray(-32));
  return {
    name,
    key,
    pem: publicKey.export({ type: 'spki', format: 'pem' }),
    id,
    record(value) {
      const body = Buffer.from(canonical(value));
      const leaves = [0, 1, 2, 3, 4, 5, 6].map(position =>
        sha256(Buffer.of(0), position === 3 ? body : Buffer.from(`entry ${position}`)),
      );
      const root = treeHash(leaves).toString('base64');
      const note = `${name}\n${leaves.length}\n${root}\n`;
      const signature = Buffer.concat([id.subarray(0, 4), sign(null, Buffer.from(note), privateKey)]);
      const entry = {
        logIndex: '3',
        logId: { keyId: id.toString('base64') },
        kindVersion: { kind: value.kind, version: value.apiVersion },
        inclusionProof: {
          logIndex: '3',
          rootHash: root,
          treeSize: String(leaves.length),
          hashes: inclusionProof(3, leaves).map(part => part.toString('base64')),
          checkpoint: { envelope: `${note}\n\u2014 ${name} ${signature.toString('base64')}\n` },
        },
        canonicalizedBody: body.toString('base64'),
      };
      return entry;
    },
  };
}

/** JSON with sorted keys, as logs keep it (RFC 8785, for the content of these entries). */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return `{${fields.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`;
}

/** RFC 6962, section 2.1, of the hashes of leaves. */
function treeHash(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (leaves.length === 1 && only !== undefined) return only;
  const [left, right] = halve(leaves);
  return sha256(Buffer.of(1), treeHash(left), treeHash(right));
}

/** Section 2.1.1. */
function inclusionProof(position: number, leaves: readonly Buffer[]): readonly Buffer[] {
  if (leaves.length === 1) return [];
  const [left, right] = halve(leaves);
  return position < left.length
    ? [...inclusionProof(position, left), treeHash(right)]
    : [...inclusionProof(position - left.length, right), treeHash(left)];
}

function halve(leaves: readonly Buffer[]): readonly [readonly Buffer[], readonly Buffer[]] {
  let size = 1;
  while (size * 2 < leaves.length) size *= 2;
  return [leaves.slice(0, size), leaves.slice(size)];
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer');
}
