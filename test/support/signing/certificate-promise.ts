import { hash, sign } from 'node:crypto';
import { octets } from './der.ts';
import { type Extension, extension, type Issued, type Pair } from './x509.ts';

/** The extension with a log's promise to record a certificate (RFC 6962, sections 3.2 and 3.3). */
export function promiseOf(precertificate: Issued, issuer: Issued, log: Pair): Extension {
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(Date.now()));
  const uint = (value: number, bytes: number): Buffer => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeUIntBE(value, 0, bytes);
    return buffer;
  };
  const { tbs } = precertificate;
  const issuerKey = sha256(issuer.key.publicKey.export({ type: 'spki', format: 'der' }));
  const entry = Buffer.concat([issuerKey, uint(tbs.length, 3), tbs]);
  const signed = Buffer.concat([Buffer.of(0, 0), time, uint(1, 2), entry, uint(0, 2)]);
  const signature = sign('sha256', signed, log.privateKey);
  const id = sha256(log.publicKey.export({ type: 'spki', format: 'der' }));
  const promise = Buffer.concat([
    Buffer.of(0),
    id,
    time,
    uint(0, 2),
    Buffer.of(4, 3),
    uint(signature.length, 2),
    signature,
  ]);
  const list = Buffer.concat([uint(promise.length + 2, 2), uint(promise.length, 2), promise]);
  return extension('1.3.6.1.4.1.11129.2.4.2', octets(list));
}

const sha256 = (bytes: Uint8Array): Buffer => hash('sha256', bytes, 'buffer');
