import { type Digest, toDigest } from '../../../src/oci/digest.ts';
import type { NodeStatus } from '../../../src/ports/node-status.ts';
import type { PullRequest } from '../../../src/ports/request.ts';
import type {
  ArtifactDetail,
  ArtifactSummary,
  Progress,
  Pulled,
  PullStatus,
  Resolved,
  VolumeStatus,
} from '../../../src/ports/usecases.ts';

/** Results of the use cases with a value in every field. */

/** The time at which every command of a test runs. */
export const noon: number = Date.UTC(2026, 0, 2, 12);

export const digest: Digest = toDigest('sha256', 'ab'.repeat(32));
export const other: Digest = toDigest('sha512', 'cd'.repeat(64));

export const resolved: Resolved = {
  reference: 'registry.example/z:1',
  descriptor: {
    mediaType: 'application/vnd.oci.image.index.v1+json',
    digest,
    size: 4321,
    annotations: { 'org.example.note': 'ü\n' },
    artifactType: 'application/vnd.example.model',
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  },
  cached: true,
};
export const pulled: Pulled = {
  reference: 'registry.example/z:1',
  digest,
  manifest: other,
  view: 'v',
  path: '/state/views/v',
  bytes: 2 ** 40,
  inodes: 3,
  notes: ['z: layers hide files of earlier layers: "w" of layer 1 by that of layer 2'],
};
export const detail: ArtifactDetail = {
  reference: 'registry.example/z:1',
  otherNames: ['registry.example/z:latest'],
  digest,
  manifest: other,
  kind: 'image',
  mediaType: 'm',
  artifactType: '',
  annotations: { a: 'b' },
  layers: [
    { digest, mediaType: 'm', size: 12, name: 'w/x', form: 'file', held: true },
    { digest: other, mediaType: 'n', size: 0, name: '', form: 'unpacked', held: false },
  ],
  pinned: true,
  verdict: 'accepted: no policy file is configured',
  volumes: ['/pods/u/mount'],
  notes: ['layer 1: left out FIFO "p"'],
  viewDigests: [digest],
};
export const volume: VolumeStatus = {
  volumeId: 'csi-1',
  targetPath: '/pods/u/mount',
  fingerprint: '',
  anywhere: false,
  reference: 'z:1',
  resolved: 'registry.example/z:1',
  digest,
  manifest: other,
  view: 'v',
  bytes: 2 ** 20,
  inodes: 3,
  pod: { namespace: 'ml', name: 'web-0', uid: 'u', serviceAccount: 's' },
  publishedAt: noon - 90_000,
  mounted: true,
};
export const request: PullRequest = {
  reference: 'z:1',
  pullPolicy: 'Never',
  platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
  selection: { unpack: 'never', include: ['*.json', 'w/**'], exclude: ['*.bin'], subPath: 'a/b' },
  secrets: { username: 'me', password: 'pass word' },
  caller: 'administrator',
};

export const summaries: readonly ArtifactSummary[] = [
  {
    reference: 'registry.example/z:1',
    digest,
    artifactType: 'application/vnd.example.model',
    bytes: 3.1 * 2 ** 30,
    usedAt: noon - 3 * 3600_000,
    verifiedAt: noon - 86_400_000,
    pinned: true,
    volumes: 2,
  },
  {
    reference: 'registry.example/a:1',
    digest: other,
    artifactType: '',
    bytes: 12,
    usedAt: 0,
    verifiedAt: 0,
    pinned: false,
    volumes: 0,
  },
];

export const pullsUnderWay: readonly PullStatus[] = [
  {
    since: noon - 5_000,
    progress: { ...at('download', 0), waits: 'registry.example asks to wait until 12:01' },
    wanters: [
      {
        reference: 'registry.example/z:1',
        digest,
        kind: 'pod',
        targetPath: '/pods/u/mount',
        pod: { namespace: 'ml', name: 'web-0', uid: 'u' },
      },
      { reference: 'registry.example/z:2', digest, kind: 'command' },
    ],
  },
  {
    since: noon - 100_000,
    progress: {
      ...at('download', 43),
      totalBytes: 7 * 2 ** 30,
      bytesPerSecond: 3 * 2 ** 20,
      current: [{ name: 'w.bin', bytes: 43, totalBytes: 7 * 2 ** 30, bytesPerSecond: 3 * 2 ** 20 }],
    },
    wanters: [{ reference: 'registry.example/a:1', digest: other, kind: 'command', targetPath: '/mnt/a' }],
  },
];

/** A step of a pull of 100 bytes. */
export function at(phase: Progress['phase'], bytes: number): Progress {
  return {
    phase,
    bytes,
    totalBytes: phase === 'resolve' ? 0 : 100,
    layers: 0,
    totalLayers: 2,
    bytesPerSecond: 0,
  };
}

const disk = {
  totalBytes: 100 * 2 ** 30,
  usedBytes: 40 * 2 ** 30,
  availableBytes: 60 * 2 ** 30,
  totalInodes: 200,
  usedInodes: 3,
};
export const nodeStatus: NodeStatus = {
  stateDir: '/var/lib/x',
  disk,
  cacheBytes: 2 ** 30,
  problems: ['/etc/y: line 3 is broken'],
  facts: ['fs-verity: off'],
  daemon: {
    version: '9.8.7',
    driverName: 'driver.example',
    notReady: ['the disk is read-only'],
    registration: 'waiting',
  },
  prefetch: [
    { reference: 'tiny:v1', state: 'ready', digest, nextAt: 1_700_000_000_000 },
    {
      reference: 'big:v1',
      state: 'failed',
      problem: 'big:v1: registry.example cannot be reached',
      nextAt: 1,
    },
    { reference: 'other:v1', state: 'elsewhere', nextAt: 1 },
  ],
  failing: [
    {
      targetPath: '/pods/v/mount',
      pod: { namespace: 'shop', name: 'web-0', uid: 'v', serviceAccount: 's' },
      reference: 'registry.example/gone:2',
      code: 'not-found',
      message: 'registry.example/gone:2 does not exist',
      since: noon - 600_000,
      failedAt: noon - 40_000,
      failures: 12,
    },
    {
      targetPath: '/pods/w/mount',
      reference: '',
      code: 'invalid',
      message: 'the volume attribute reference is missing',
      since: noon - 2_000,
      failedAt: noon - 2_000,
      failures: 1,
    },
  ],
};
