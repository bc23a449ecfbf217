import { formatPlatform } from '../../oci/platform.ts';
import type { LateStatus } from '../../ports/on-demand.ts';
import type {
  ArtifactDetail,
  ArtifactSummary,
  Finding,
  LayerDetail,
  Progress,
  Pruned,
  Pulled,
  PullStatus,
  Removed,
  Resolved,
  VolumeStatus,
} from '../../ports/usecases.ts';
import type { ArtifactSummary as WireSummary } from '../wire/ociartifact/v1/ArtifactSummary.ts';
import type { Finding as WireFinding } from '../wire/ociartifact/v1/Finding.ts';
import type { InspectResponse } from '../wire/ociartifact/v1/InspectResponse.ts';
import type { Layer } from '../wire/ociartifact/v1/Layer.ts';
import type { Loading } from '../wire/ociartifact/v1/Loading.ts';
import type { Progress as WireProgress } from '../wire/ociartifact/v1/Progress.ts';
import type { PruneResponse } from '../wire/ociartifact/v1/PruneResponse.ts';
import type { Pulled as WirePulled } from '../wire/ociartifact/v1/Pulled.ts';
import type { PullStatus as WirePullStatus } from '../wire/ociartifact/v1/PullStatus.ts';
import type { RemoveResponse } from '../wire/ociartifact/v1/RemoveResponse.ts';
import type { Resolved as WireResolved } from '../wire/ociartifact/v1/Resolved.ts';
import type { Volume } from '../wire/ociartifact/v1/Volume.ts';
import { fromPod } from './pod-message.ts';

/** Results of the use cases as messages of ociartifact.v1; grpc/client/value.ts is the inverse. */

const phases = {
  resolve: 'RESOLVE',
  download: 'DOWNLOAD',
  unpack: 'UNPACK',
  build: 'BUILD',
  done: 'DONE',
} as const;

export function fromResolved({ reference, descriptor, cached }: Resolved): WireResolved {
  const { mediaType, digest, size, annotations, artifactType, platform } = descriptor;
  return {
    reference,
    media_type: mediaType,
    digest,
    size,
    cached,
    artifact_type: artifactType ?? '',
    annotations,
    platform: platform === undefined ? '' : formatPlatform(platform),
  };
}

export function fromProgress(progress: Progress): WireProgress {
  const {
    phase,
    bytes,
    totalBytes,
    layers,
    totalLayers,
    bytesPerSecond,
    current = [],
    waits = '',
  } = progress;
  return {
    phase: phases[phase],
    bytes,
    total_bytes: totalBytes,
    layers,
    total_layers: totalLayers,
    bytes_per_second: bytesPerSecond,
    current: current.map(layer => ({
      name: layer.name,
      bytes: layer.bytes,
      total_bytes: layer.totalBytes,
      bytes_per_second: layer.bytesPerSecond,
    })),
    waits,
  };
}

export function fromPullStatus({ since, progress, wanters }: PullStatus): WirePullStatus {
  return {
    since,
    progress: fromProgress(progress),
    wanters: wanters.map(({ reference, digest = '', kind, targetPath = '', pod }) => ({
      reference,
      digest,
      target_path: targetPath,
      is_pod: kind === 'pod',
      is_prefetch: kind === 'prefetch',
      pod: fromPod(pod),
    })),
  };
}

export function fromPulled({ notes, ...pulled }: Pulled): WirePulled {
  return { ...pulled, notes: [...notes] };
}

export function fromPruned({ artifacts, bytes, items }: Pruned): PruneResponse {
  return {
    freed: { artifacts, bytes },
    items: items.map(({ reference = '', digest, bytes: size }) => ({ reference, digest, bytes: size })),
  };
}

export function fromRemoved({ artifacts, bytes, reference, digest, keptBy }: Removed): RemoveResponse {
  return { freed: { artifacts, bytes }, reference, digest, kept_by: [...keptBy] };
}

export function fromSummary(summary: ArtifactSummary): WireSummary {
  const { artifactType, usedAt, verifiedAt, ...same } = summary;
  return { ...same, artifact_type: artifactType, used_at: usedAt, verified_at: verifiedAt };
}

export function fromFinding({ path, problem, artifacts, keptBy, repaired }: Finding): WireFinding {
  return { path, problem, repaired, artifacts: [...artifacts], kept_by: [...keptBy] };
}

export function fromDetail(detail: ArtifactDetail): InspectResponse {
  const { reference, digest, manifest, annotations, pinned, verdict } = detail;
  return {
    reference,
    digest,
    manifest,
    kind: detail.kind === 'image' ? 'IMAGE' : 'ARTIFACT',
    media_type: detail.mediaType,
    artifact_type: detail.artifactType,
    annotations,
    layers: detail.layers.map(fromLayer),
    pinned,
    verdict,
    volumes: [...detail.volumes],
    notes: [...detail.notes],
    other_names: [...detail.otherNames],
    view_digests: [...detail.viewDigests],
  };
}

export function fromVolume(volume: VolumeStatus): Volume {
  const { reference, resolved, digest, manifest, bytes, inodes, mounted, view, anywhere, pod } = volume;
  return {
    volume_id: volume.volumeId,
    target_path: volume.targetPath,
    reference,
    resolved,
    digest,
    manifest,
    bytes,
    inodes,
    pod: fromPod(pod),
    published_at: volume.publishedAt,
    mounted,
    view,
    anywhere,
    refused: volume.refused ?? '',
    damaged: volume.damaged ?? '',
    view_digest: volume.viewDigest ?? '',
    loading: volume.loading === undefined ? null : fromLate(volume.loading),
  };
}

function fromLate({
  bytes,
  totalBytes,
  bytesPerSecond,
  waitingReads,
  problem = '',
  lied,
  stopped,
}: LateStatus): Loading {
  return {
    bytes,
    total_bytes: totalBytes,
    bytes_per_second: bytesPerSecond,
    waiting_reads: waitingReads,
    problem,
    lied: lied === true,
    stopped: stopped === true,
  };
}

const layerForms = {
  file: 'FILE',
  unpacked: 'UNPACKED',
  chunks: 'CHUNKS',
  empty: 'EMPTY',
} as const satisfies Readonly<Record<LayerDetail['form'], Layer['form']>>;

function fromLayer({ digest, mediaType, size, name, form, held }: LayerDetail): Layer {
  return { digest, media_type: mediaType, size, name, form: layerForms[form], held };
}
