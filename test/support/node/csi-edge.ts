import { join } from 'node:path';
import { Writable } from 'node:stream';
import { credentials, type requestCallback, type ServiceError, status } from '@grpc/grpc-js';
import { type Logger, pino } from 'pino';
import { loadDefinitions, openArtifacts } from '../../../src/grpc/edge/definitions.ts';
import { bindSocket } from '../../../src/grpc/edge/socket.ts';
import { type CsiServing, serveCsi } from '../../../src/grpc/server.ts';
import type { IdentityClient } from '../../../src/grpc/wire/csi/v1/Identity.ts';
import type { NodeClient } from '../../../src/grpc/wire/csi/v1/Node.ts';
import type { NodePublishVolumeRequest } from '../../../src/grpc/wire/csi/v1/NodePublishVolumeRequest.ts';
import type { HealthClient } from '../../../src/grpc/wire/grpc/health/v1/Health.ts';
import type { ArtifactsClient } from '../../../src/grpc/wire/ociartifact/v1/Artifacts.ts';
import { parseDigest } from '../../../src/oci/digest.ts';
import type { PodPublishing } from '../../../src/ports/publishing.ts';
import type { Artifacts, Resolved, VolumeStatus } from '../../../src/ports/usecases.ts';
import { temporaryDirectory } from '../os/temporary.ts';

export const digest: ReturnType<typeof parseDigest> = parseDigest(`sha256:${'ab'.repeat(32)}`);

export const reference = 'registry.test/org/model:v1';

/** An answer about it, with something in every field. */
export const resolved: Resolved = {
  reference,
  descriptor: {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest,
    size: 512,
    annotations: { 'org.test/a': 'b' },
    artifactType: 'application/vnd.test',
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  },
  cached: true,
};

export const podUid = '0b4f9a3e-1111-4222-8333-444455556666';
export const targetPath: string = `/var/lib/kubelet/pods/${podUid}/volumes/kubernetes.io~csi/model/mount`;

/** The request of kubelet for an inline volume. */
export const publishRequest: NodePublishVolumeRequest = {
  volume_id: `csi-${'0'.repeat(64)}`,
  target_path: targetPath,
  volume_capability: { mount: {}, access_mode: { mode: 'SINGLE_NODE_WRITER' } },
  readonly: true,
  volume_context: {
    reference,
    'csi.storage.k8s.io/pod.name': 'web-0',
    'csi.storage.k8s.io/pod.namespace': 'shop',
    'csi.storage.k8s.io/pod.uid': podUid,
    'csi.storage.k8s.io/serviceAccount.name': 'default',
    'csi.storage.k8s.io/ephemeral': 'true',
  },
};

export const volume: VolumeStatus = {
  volumeId: publishRequest.volume_id ?? '',
  targetPath,
  fingerprint: '{}',
  anywhere: false,
  reference,
  resolved: reference,
  digest,
  manifest: digest,
  view: 'v1',
  bytes: 4096,
  inodes: 7,
  pod: { namespace: 'shop', name: 'web-0', uid: podUid },
  publishedAt: 1_700_000_000_000,
  mounted: true,
};

/** Fails on every call that a test does not provide. */
function unexpected(name: string): () => Promise<never> {
  return async () => {
    throw new Error(`${name} was not expected`);
  };
}

const publishing: PodPublishing = {
  publish: unexpected('publish'),
  unpublish: unexpected('unpublish'),
  stats: unexpected('stats'),
  refused() {},
};

const artifacts: Artifacts = {
  resolve: unexpected('resolve'),
  pull: unexpected('pull'),
  status: unexpected('status'),
  pulls: unexpected('pulls'),
  cancel: unexpected('cancel'),
  list: unexpected('list'),
  inspect: unexpected('inspect'),
  explain: unexpected('explain'),
  remove: unexpected('remove'),
  prune: unexpected('prune'),
  previewPrune: unexpected('previewPrune'),
  pin: unexpected('pin'),
  unpin: unexpected('unpin'),
  volumes: unexpected('volumes'),
  load: unexpected('load'),
  fsck: unexpected('fsck'),
};

export type CapturedLog = {
  readonly log: Logger;
  /** The log, at every level. */
  text(): string;
  lines(): readonly Record<string, unknown>[];
};

export function captureLog(): CapturedLog {
  let text = '';
  const sink = new Writable({
    write(chunk: Buffer, _, done) {
      text += chunk.toString();
      done();
    },
  });
  return {
    log: pino({ level: 'trace' }, sink),
    text: () => text,
    lines: () =>
      text
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line) as Record<string, unknown>),
  };
}

export type Observation = { readonly method: string; readonly code: number; readonly seconds: number };

export type TestEdge = AsyncDisposable &
  CapturedLog & {
    readonly directory: string;
    readonly socket: string;
    readonly serving: CsiServing;
    readonly node: NodeClient;
    readonly identity: IdentityClient;
    readonly health: HealthClient;
    readonly artifacts: ArtifactsClient;
    readonly observed: Observation[];
  };

/** The driver's socket over the given use cases, and clients of it. */
export async function startEdge(
  parts: {
    readonly publishing?: Partial<PodPublishing>;
    readonly artifacts?: Partial<Artifacts>;
    readonly ready?: () => boolean;
    readonly observe?: (method: string, code: number, seconds: number) => void;
  } = {},
): Promise<TestEdge> {
  const directory = await temporaryDirectory();
  const captured = captureLog();
  const observed: Observation[] = [];
  const socket = join(directory.path, 'csi.sock');
  const serving = serveCsi({
    socket: await bindSocket(socket, 'if-silent'),
    driverName: 'oci-artifact.csi.test',
    nodeId: 'node-1',
    version: '1.2.3',
    publishing: { ...publishing, ...parts.publishing },
    artifacts: { ...artifacts, ...parts.artifacts },
    log: captured.log,
    observe: parts.observe ?? ((method, code, seconds) => observed.push({ method, code, seconds })),
    ready: parts.ready ?? (() => true),
  });
  const { csi, grpc } = loadDefinitions();
  const node = new csi.v1.Node(`unix:${socket}`, credentials.createInsecure());
  const identity = new csi.v1.Identity(`unix:${socket}`, credentials.createInsecure());
  const health = new grpc.health.v1.Health(`unix:${socket}`, credentials.createInsecure());
  const artifactsClient = openArtifacts(socket);
  return {
    ...captured,
    directory: directory.path,
    socket,
    serving,
    node,
    identity,
    health,
    artifacts: artifactsClient,
    observed,
    [Symbol.asyncDispose]: async () => {
      for (const client of [node, identity, health, artifactsClient]) client.close();
      await serving.stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Returns the response of a unary call. @throws the ServiceError. */
export async function answerOf<Answer>(start: (done: requestCallback<Answer>) => unknown): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  start((error, answer) => {
    if (error === null && answer !== undefined) resolve(answer);
    else reject(error ?? new Error('no answer'));
  });
  return await promise;
}

/** Returns the code's name, the message and the metadata of a call that must fail. */
export async function failureOf<Answer>(
  start: (done: requestCallback<Answer>) => unknown,
): Promise<{ code: string; text: string; details: readonly unknown[] }> {
  try {
    await answerOf(start);
  } catch (error) {
    const { code, details, metadata } = error as ServiceError;
    return { code: status[code], text: details, details: metadata.get('grpc-status-details-bin') };
  }
  throw new Error('the call succeeded');
}

/** Waits for an abort signal and returns its reason. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  if (signal.aborted) resolve(signal.reason);
  signal.addEventListener('abort', () => resolve(signal.reason), { once: true });
  return promise;
}

/** Waits until a condition holds, for at most ten seconds. */
export async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); ) {
    if (Date.now() > end) throw new Error(`never came: ${holds.toString()}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
