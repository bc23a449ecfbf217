import { join } from 'node:path';
import { ArtifactError } from '../util/error.ts';
import type { Reading } from './reading.ts';
import { type Pair, plainTrust, type Trust, toTrust, verifyCertificates, verifyPair } from './trust.ts';

/**
 * The certificates in one folder, as in containers-certs.d(5): each `*.crt` is a CA to trust, each `*.cert` with the
 * `*.key` of the same name one to show.
 *
 * @throws ArtifactError `invalid` naming the file: no PEM, a certificate without its key, a key without its
 *   certificate, two that do not belong together.
 */
export function readCertificates(folder: string, reading: Reading): Trust {
  const names = reading.names(folder) ?? [];
  const withEnd = (end: string) => names.filter(name => name.endsWith(end)).map(name => join(folder, name));
  const half = withEnd('.key').find(key => !names.includes(`${key.slice(folder.length + 1, -4)}.cert`));
  if (half !== undefined) throw missing(half, `${half.slice(0, -4)}.cert`);
  return toTrust(
    withEnd('.crt').map(file => readCa(file, reading)),
    withEnd('.cert').map(file => readPair(file, `${file.slice(0, -5)}.key`, reading)),
  );
}

/** @throws ArtifactError `invalid` naming the file. */
export function readCa(file: string, reading: Reading): string {
  const pem = readPem(file, file, reading);
  verifyCertificates(pem, file);
  return pem;
}

/** Both may be one file. @throws ArtifactError `invalid` naming the files. */
export function readPair(certFile: string, keyFile: string, reading: Reading): Pair {
  const cert = readPem(certFile, keyFile, reading);
  const key = certFile === keyFile ? cert : readPem(keyFile, certFile, reading);
  verifyPair({ cert, key }, certFile, keyFile);
  return { cert, key };
}

/** By host[:port]: the folders of a certs.d. The port of https may be written or left out; docker.io's is under that name. */
export type HostCertificates = { find(host: string): Trust };

export const noCertificates: HostCertificates = { find: () => plainTrust };

/**
 * Reads a certs.d.
 *
 * @throws ArtifactError `invalid` naming the file that is missing or wrong.
 */
export function readHostCertificates(directory: string, reading: Reading): HostCertificates {
  const names = reading.names(directory);
  if (names === undefined) {
    throw new ArtifactError('invalid', `the folder ${directory} does not exist; correct --certs-dir`);
  }
  const byHost = new Map<string, Trust>();
  for (const name of names) {
    const folder = join(directory, name);
    if (reading.isFolder(folder)) byHost.set(name, readCertificates(folder, reading));
  }
  return {
    find(host) {
      const written = host === 'registry-1.docker.io' ? 'docker.io' : host;
      return byHost.get(written) ?? byHost.get(`${written}:443`) ?? plainTrust;
    },
  };
}

function readPem(file: string, other: string, reading: Reading): string {
  const text = reading.text(file);
  if (text === undefined) throw missing(other, file);
  return text;
}

function missing(file: string, absent: string): ArtifactError {
  return new ArtifactError(
    'invalid',
    file === absent
      ? `the certificate file ${file} does not exist`
      : `${absent} does not exist, and ${file} is of no use without it`,
  );
}
