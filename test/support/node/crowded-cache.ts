import { hash } from 'node:crypto';
import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ociManifest } from '../../../src/oci/manifest.ts';
import { sha256 } from '../oci/tar.ts';

/** The content of a full state directory. Each artifact has a name in a repository of its own, and a view. */
export type Crowd = {
  readonly artifacts: number;
  /** The files of each artifact, each a blob; its manifest is one more blob. */
  readonly files: number;
  /** The volumes of the first half of the artifacts. */
  readonly volumes: number;
  /** The views are not built yet. */
  readonly unbuilt?: true;
};

type Put = (name: string, bytes: Buffer | string) => string;
type Made = Readonly<Record<'reference' | 'manifest' | 'view', string>> & {
  readonly holds: readonly string[];
};

/** Writes the files of a cache after a store has created its directories, as years of pulls leave them. */
export function fillCache(
  stateDir: string,
  kubeletDir: string,
  { artifacts, files, volumes, unbuilt }: Crowd,
): void {
  const put: Put = (name, bytes) => {
    const path = join(stateDir, name);
    writeFileSync(path, bytes, { mode: name.startsWith('blobs/') ? 0o644 : 0o600 });
    return path;
  };
  const made = Array.from({ length: artifacts }, (_, nth) => putArtifact(put, stateDir, nth, files));
  if (unbuilt === true) rmSync(join(stateDir, 'views'), { recursive: true });
  for (let nth = 0; nth < volumes; nth++) {
    const artifact = made[nth % Math.floor(artifacts / 2)];
    if (artifact !== undefined) putVolume(put, kubeletDir, nth, artifact);
  }
}

function putArtifact(put: Put, stateDir: string, nth: number, files: number): Made {
  const putBlob = (bytes: Buffer) => {
    const digest = sha256(bytes);
    return { digest, size: bytes.length, path: put(`blobs/sha256/${digest.slice(7)}`, bytes) };
  };
  const blobs = Array.from({ length: files }, (_, file) => putBlob(Buffer.from(`${nth} ${file}`)));
  const layers = blobs.map(({ digest, size }, file) => ({
    mediaType: 'text/plain',
    digest,
    size,
    annotations: { 'org.opencontainers.image.title': `f${file}` },
  }));
  const manifest = putBlob(
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociManifest, config: layers[0], layers })),
  );
  const repository = `registry.test/team/m${nth}`;
  const reference = `${repository}:v1`;
  const view = hash('sha256', reference);
  const digests = blobs.map(({ digest }) => digest);
  const holds = [manifest.digest, ...digests];
  mkdirSync(join(stateDir, 'views', view));
  for (const [file, { path }] of blobs.entries()) linkSync(path, join(stateDir, 'views', view, `f${file}`));
  const record = {
    key: view,
    manifest: manifest.digest,
    reference,
    blobs: digests,
    layers: [],
    bytes: 1000,
    inodes: files + 1,
    selection: { unpack: 'auto', include: [], exclude: [] },
  };
  put(`views/${view}.json`, JSON.stringify(record));
  const descriptor = {
    mediaType: ociManifest,
    digest: manifest.digest,
    size: manifest.size,
    annotations: {},
  };
  putRecord(put, 'names', reference, {
    reference,
    descriptor,
    resolvedAt: 1,
    authorised: 'anonymous',
    holds,
  });
  putRecord(put, 'access', repository, {
    repository,
    anonymous: true,
    node: false,
    accounts: [],
    pods: [],
    secrets: [],
    digests: holds,
    mirrored: [],
    loaded: [],
  });
  return { reference, manifest: manifest.digest, view, holds };
}

function putVolume(
  put: Put,
  kubeletDir: string,
  nth: number,
  { reference, manifest, view, holds }: Made,
): void {
  const targetPath = join(kubeletDir, `pods/p${nth}/volumes/kubernetes.io~csi/v/mount`);
  mkdirSync(dirname(targetPath), { recursive: true });
  putRecord(put, 'volumes', targetPath, {
    volumeId: `csi-${nth}`,
    targetPath,
    fingerprint: '',
    anywhere: false,
    reference,
    resolved: reference,
    digest: manifest,
    manifest,
    view,
    bytes: 1000,
    inodes: holds.length,
    holds,
    publishedAt: 1,
  });
}

function putRecord(put: Put, directory: string, key: string, record: object): void {
  put(join(directory, hash('sha256', key)), JSON.stringify(record));
}
