import { join } from 'node:path';
import { type Part, readPart, valueOf } from '../../configfile/part.ts';
import type { Reading } from '../../configfile/watched-file.ts';
import { ArtifactError } from '../../util/error.ts';
import {
  type Pair,
  plainTrust,
  type TlsTrust,
  toTrust,
  verifyCertificates,
  verifyPair,
} from '../http/tls-trust.ts';

/**
 * The certificates in one folder, as in containers-certs.d(5): each `*.crt` is a CA to trust, each `*.cert` with the
 * `*.key` of the same name one to show.
 *
 * @throws ArtifactError `invalid` naming the file: no PEM, a certificate without its key, a key without its
 *   certificate, two that do not belong together.
 */
export function readCertificates(folder: string, reading: Reading): TlsTrust {
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

/** By host[:port]: the folders of a certs.d. */
export type HostCertificates = ReadonlyMap<string, Part<TlsTrust>>;

/** Reads a certs.d. @throws ArtifactError `invalid` for one that is not there. */
export function readHostCertificates(
  directory: string | undefined,
  reading: Reading,
  before: Part<HostCertificates> | undefined,
): HostCertificates {
  const byHost = new Map<string, Part<TlsTrust>>();
  if (directory === undefined) return byHost;
  const names = reading.names(directory);
  if (names === undefined) {
    throw new ArtifactError('invalid', `the directory ${directory} does not exist; correct --certs-dir`);
  }
  const earlier = before === undefined || before.kind === 'broken' ? undefined : before.value;
  for (const name of names) {
    const folder = join(directory, name);
    if (!reading.isFolder(folder)) continue;
    byHost.set(
      name,
      readPart(() => readCertificates(folder, reading), earlier?.get(name)),
    );
  }
  return byHost;
}

/**
 * Those of a host. The port of https may be written or left out; docker.io's are under that name.
 *
 * @throws ArtifactError `unavailable` where they are broken.
 */
export function findCertificates(certificates: Part<HostCertificates>, host: string): TlsTrust {
  const byHost = valueOf(certificates);
  const written = host === 'registry-1.docker.io' ? 'docker.io' : host;
  const part = byHost.get(written) ?? byHost.get(`${written}:443`);
  return part === undefined ? plainTrust : valueOf(part);
}

/** The certificates that every server may prove itself by. @throws ArtifactError `invalid` naming the file. */
export function readCaFile(file: string | undefined, reading: Reading): TlsTrust {
  if (file === undefined) return plainTrust;
  const pem = reading.text(file);
  if (pem === undefined) {
    throw new ArtifactError('invalid', `the CA file ${file} does not exist; correct --ca-file`);
  }
  verifyCertificates(pem, file);
  return toTrust([pem], []);
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
