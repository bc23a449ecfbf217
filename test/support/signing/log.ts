import { hash } from 'node:crypto';
import { makeSigner } from './signer.ts';
import type { TileEntry } from './tile-log.ts';

/** An entry as cosign writes it into an annotation, and into a bundle. */
export type LogEntry = {
  readonly annotation: string;
  readonly bundled: TileEntry & {
    readonly logId: { readonly keyId: string };
    readonly integratedTime: string;
    readonly inclusionPromise: { readonly signedEntryTimestamp: string };
  };
};
export type TestLog = { readonly pem: string; record(body: object, time: Date): LogEntry };

/** A log like Rekor, with a key of its own; each entry is the only one of its tree. */
export function openTestLog(): TestLog {
  const signer = makeSigner();
  const id = hash('sha256', Buffer.from(signer.pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'), 'buffer');
  return {
    pem: signer.pem,
    record(value, time) {
      const body = Buffer.from(JSON.stringify(value));
      const payload = {
        body: body.toString('base64'),
        integratedTime: Math.floor(time.getTime() / 1000),
        logIndex: 7,
        logID: id.toString('hex'),
      };
      const promise = signer.sign(Buffer.from(JSON.stringify(payload, Object.keys(payload).sort())));
      const root = hash('sha256', Buffer.concat([Buffer.of(0), body]), 'base64');
      const note = `rekor.test - 1\n1\n${root}\n`;
      const noted = Buffer.concat([id.subarray(0, 4), signer.sign(Buffer.from(note))]).toString('base64');
      const { kind, apiVersion } = value as { kind: string; apiVersion: string };
      return {
        annotation: JSON.stringify({
          SignedEntryTimestamp: promise.toString('base64'),
          Payload: payload,
        }),
        bundled: {
          logIndex: '7',
          logId: { keyId: id.toString('base64') },
          kindVersion: { kind, version: apiVersion },
          integratedTime: String(payload.integratedTime),
          inclusionPromise: { signedEntryTimestamp: promise.toString('base64') },
          inclusionProof: {
            logIndex: '0',
            rootHash: root,
            treeSize: '1',
            hashes: [],
            checkpoint: { envelope: `${note}\n\u2014 rekor.test ${noted}\n` },
          },
          canonicalizedBody: payload.body,
        },
      };
    },
  };
}
