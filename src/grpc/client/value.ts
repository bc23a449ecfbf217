import { parseDigest } from '../../oci/digest.ts';
import { parsePlatform } from '../../oci/platform.ts';
import type { LateStatus } from '../../ports/on-demand.ts';
import type {
  ArtifactDetail,
  ArtifactSummary,
  Finding,
  Freed,
  LayerDetail,
  LayerProgress,
  Progress,
  Pruned,
  Pulled,
  PullStatus,
  Removed,
  Resolved,
  VolumeStatus,
} from '../../ports/usecases.ts';
import { resolving } from '../../volume/pull/progress.ts';
import { toPod } from '../artifacts/pod-message.ts';
import type { ArtifactSummary__Output } from '../wire/ociartifact/v1/ArtifactSummary.ts';
import type { Finding__Output } from '../wire/ociartifact/v1/Finding.ts';
import type { Freed__Output } from '../wire/ociartifact/v1/Freed.ts';
import type { InspectResponse__Output } from '../wire/ociartifact/v1/InspectResponse.ts';
import type { Layer__Output } from '../wire/ociartifact/v1/Layer.ts';
import type { LayerProgress__Output } from '../wire/ociartifact/v1/LayerProgress.ts';
import type { Loading__Output } from '../wire/ociartifact/v1/Loading.ts';
import type { Progress__Output } from '../wire/ociartifact/v1/Progress.ts';
import type { PruneResponse__Output } from '../wire/ociartifact/v1/PruneResponse.ts';
import type { Pulled__Output } from '../wire/ociartifact/v1/Pulled.ts';
import type { PullStatus__Output } from '../wire/ociartifact/v1/PullStatus.ts';
import type { RemoveResponse__Output } from '../wire/ociartifact/v1/RemoveResponse.ts';
import type { Resolved__Output } from '../wire/ociartifact/v1/Resolved.ts';
import type { Volume__Output } from '../wire/ociartifact/v1/Volume.ts';

const phases: Readonly<Record<Progress__Output['phase'], Progress['phase']>> = {
  // A phase of a newer daemon.
  UNKNOWN: 'resolve',
  RESOLVE: 'resolve',
  DOWNLOAD: 'download',
  UNPACK: 'unpack',
  BUILD: 'build',
  DONE: 'done',
};

const forms: Readonly<Record<Layer__Output['form'], LayerDetail['form']>> = {
  // A form of a newer daemon.
  UNKNOWN: 'file',
  FILE: 'file',
  UNPACKED: 'unpacked',
  CHUNKS: 'chunks',
  EMPTY: 'empty',
};

export function toResolved(wire: Resolved__Output): Resolved {
  const platform = parsePlatform(wire.platform);
  return {
    reference: wire.reference,
    descriptor: {
      mediaType: wire.media_type,
      digest: parseDigest(wire.digest),
      size: wire.size,
      annotations: wire.annotations,
      ...(wire.artifact_type === '' ? {} : { artifactType: wire.artifact_type }),
      ...(platform === undefined ? {} : { platform }),
    },
    cached: wire.cached,
  };
}

export function toProgress(wire: Progress__Output): Progress {
  const { phase, bytes, layers, bytes_per_second: bytesPerSecond, waits } = wire;
  return {
    phase: phases[phase],
    bytes,
    totalBytes: wire.total_bytes,
    layers,
    totalLayers: wire.total_layers,
    bytesPerSecond,
    ...(wire.current.length === 0 ? {} : { current: wire.current.map(toLayerProgress) }),
    ...(waits === '' ? {} : { waits }),
  };
}

function toLayerProgress(wire: LayerProgress__Output): LayerProgress {
  const { name, bytes, total_bytes: totalBytes, bytes_per_second: bytesPerSecond } = wire;
  return { name, bytes, totalBytes, bytesPerSecond };
}

export function toPulled(wire: Pulled__Output): Pulled {
  return { ...wire, digest: parseDigest(wire.digest), manifest: parseDigest(wire.manifest) };
}

export function toPullStatus({ since, progress, wanters }: PullStatus__Output): PullStatus {
  return {
    since,
    progress: progress === null ? resolving : toProgress(progress),
    wanters: wanters.map(
      ({ reference, digest, target_path: targetPath, is_pod: isPod, is_prefetch: isPrefetch, pod }) => ({
        reference,
        ...(digest === '' ? {} : { digest: parseDigest(digest) }),
        kind: isPod ? 'pod' : isPrefetch ? 'prefetch' : 'command',
        ...(targetPath === '' ? {} : { targetPath }),
        ...(pod === null ? {} : { pod: toPod(pod) }),
      }),
    ),
  };
}

export function toSummary(wire: ArtifactSummary__Output): ArtifactSummary {
  const { reference, bytes, pinned, volumes } = wire;
  return {
    reference,
    digest: parseDigest(wire.digest),
    artifactType: wire.artifact_type,
    bytes,
    usedAt: wire.used_at,
    verifiedAt: wire.verified_at,
    pinned,
    volumes,
  };
}

export function toDetail(wire: InspectResponse__Output): ArtifactDetail {
  const { reference, other_names: otherNames, annotations, pinned, verdict, volumes, notes } = wire;
  return {
    reference,
    otherNames,
    digest: parseDigest(wire.digest),
    manifest: parseDigest(wire.manifest),
    kind: wire.kind === 'IMAGE' ? 'image' : 'artifact',
    mediaType: wire.media_type,
    artifactType: wire.artifact_type,
    annotations,
    layers: wire.layers.map(({ digest, media_type: mediaType, size, name, form, held }) => ({
      digest: parseDigest(digest),
      mediaType,
      size,
      name,
      form: forms[form],
      held,
    })),
    pinned,
    verdict,
    volumes,
    notes,
    viewDigests: wire.view_digests.map(parseDigest),
  };
}

export function toFinding({ path, problem, artifacts, kept_by, repaired }: Finding__Output): Finding {
  return { path, problem, artifacts, keptBy: kept_by, repaired };
}

function toFreed(wire: Freed__Output | null): Freed {
  return { artifacts: wire?.artifacts ?? 0, bytes: wire?.bytes ?? 0 };
}

export function toPruned({ freed, items }: PruneResponse__Output): Pruned {
  return {
    ...toFreed(freed),
    items: items.map(({ reference, digest, bytes }) => ({
      ...(reference === '' ? {} : { reference }),
      digest: parseDigest(digest),
      bytes,
    })),
  };
}

export function toRemoved({ freed, reference, digest, kept_by: keptBy }: RemoveResponse__Output): Removed {
  return { ...toFreed(freed), reference, digest: parseDigest(digest), keptBy };
}

function toLate(wire: Loading__Output): LateStatus {
  return {
    bytes: wire.bytes,
    totalBytes: wire.total_bytes,
    bytesPerSecond: wire.bytes_per_second,
    waitingReads: wire.waiting_reads,
    ...(wire.problem === '' ? {} : { problem: wire.problem }),
    ...(wire.lied && { lied: true }),
    ...(wire.stopped && { stopped: true }),
  };
}

/** The daemon does not send the fingerprint. */
export function toVolume(wire: Volume__Output): VolumeStatus {
  const { reference, resolved, view, bytes, inodes, anywhere, mounted, pod, refused, damaged } = wire;
  return {
    volumeId: wire.volume_id,
    targetPath: wire.target_path,
    fingerprint: '',
    anywhere,
    reference,
    resolved,
    digest: parseDigest(wire.digest),
    manifest: parseDigest(wire.manifest),
    view,
    bytes,
    inodes,
    ...(pod === null ? {} : { pod: toPod(pod) }),
    publishedAt: wire.published_at,
    mounted,
    ...(refused === '' ? {} : { refused }),
    ...(damaged === '' ? {} : { damaged }),
    ...(wire.loading === null ? {} : { loading: toLate(wire.loading) }),
    ...(wire.view_digest === '' ? {} : { viewDigest: parseDigest(wire.view_digest) }),
  };
}
