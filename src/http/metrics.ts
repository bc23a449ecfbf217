import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DiskUsage } from '../ports/disk.ts';
import type { EventOutcome } from '../ports/events.ts';
import type { Meter } from '../ports/meter.ts';
import type { LateSummary } from '../ports/on-demand.ts';
import type { OriginCounts } from '../ports/origin.ts';
import type { PrefetchState, PrefetchStatus } from '../ports/prefetch.ts';
import type { PullStatus, VolumeStatus } from '../ports/usecases.ts';
import { observeLate } from './late-metrics.ts';
import { type ObservedProcess, observeProcess } from './process-metrics.ts';

export type Metrics = Meter & {
  /**
   * Counts a call of a gRPC method (`/csi.v1.Node/NodePublishVolume`) that ended with a status code after `seconds`.
   */
  operation(method: string, status: number, seconds: number): void;
  /** Counts an event of a pod. */
  podEvent(outcome: EventOutcome): void;
  readonly contentType: string;
  /** All series in Prometheus' text format. */
  scrape(): Promise<string>;
};

/** Upper bounds in seconds. The CSI sidecars use the same, so that one dashboard fits all. */
const buckets = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25, 50, 120, 300, 600];

/** Go's names of the gRPC status codes, by number. Other CSI drivers use them as `grpc_status_code`. */
const statusNames = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
] as const;

function nameStatus(number: number): string {
  return statusNames[number] ?? 'Unknown';
}

/**
 * References are user input, so the number of registries is not bounded: so many have series of their own, and all
 * others share one.
 */
const maxRegistries = 100;

/** Creates every series of the daemon, in Prometheus registries of its own: one for the node, one for the process. */
export function createMetrics(driverName: string, observed: Observed & ObservedProcess): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const look = observe(registry, observed);
  const ofProcess = new Registry();
  const lookAtProcess = observeProcess(ofProcess, observed);

  const operations = new Histogram({
    name: 'csi_plugin_operations_seconds',
    help: 'Duration of CSI calls by method and gRPC status code',
    labelNames: ['driver_name', 'method_name', 'grpc_status_code'],
    buckets,
    registers,
  });
  const pulls = new Counter({
    name: 'oci_artifact_csi_pulls_total',
    help: 'Pulls that ended, by outcome',
    labelNames: ['outcome'],
    registers,
  });
  const pulled = new Counter({
    name: 'oci_artifact_csi_pulled_bytes_total',
    help: 'Bytes of blobs taken from registries',
    labelNames: ['registry'],
    registers,
  });
  const events = new Counter({
    name: 'oci_artifact_csi_pod_events_total',
    help: 'Events of pods, by what became of them',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['sent', 'merged', 'dropped', 'refused']) events.inc({ outcome }, 0);
  const damage = new Counter({
    name: 'oci_artifact_csi_cache_damage_total',
    help: 'Blobs, unpacked layers and views of the cache that were found to be wrong',
    labelNames: ['kind'],
    registers,
  });
  for (const kind of ['blob', 'layer', 'view']) damage.inc({ kind }, 0);
  const registries = new Set<string>();
  const labelOf = (from: string): string => {
    if (registries.size < maxRegistries) registries.add(from);
    return registries.has(from) ? from : 'other';
  };
  // rate() misses the first event of a counter that appears only with it.
  for (const outcome of ['ok', 'error', 'cancelled']) pulls.inc({ outcome }, 0);

  return {
    operation(method, status, seconds) {
      const code = nameStatus(status);
      operations.observe({ driver_name: driverName, method_name: method, grpc_status_code: code }, seconds);
    },
    podEvent: outcome => events.inc({ outcome }),
    bytesPulled: (from, bytes) => pulled.inc({ registry: labelOf(from) }, bytes),
    damageFound: kind => damage.inc({ kind }),
    pullEnded: outcome => pulls.inc({ outcome }),
    contentType: registry.contentType,
    async scrape() {
      await lookAtProcess();
      const lines = await ofProcess.metrics();
      if (observed.phase() !== 'open') return lines;
      await look();
      return `${await registry.metrics()}${lines}`;
    },
  };
}

/** The state of an open node that each scrape reads. */
export type Observed = {
  cacheBytes(): Promise<number>;
  disk(): Promise<DiskUsage>;
  volumes(): Promise<readonly VolumeStatus[]>;
  pulls(): Promise<readonly PullStatus[]>;
  /** Configuration files that are broken. */
  problems(): readonly string[];
  /** The number of the gRPC status of each volume that kubelet asks for, and that fails. */
  failing(): readonly number[];
  /** The entries of --prefetch. */
  prefetch(): readonly PrefetchStatus[];
  /** Whether fs-verity seals the cache. */
  isSealed(): boolean;
  /** Why no view is an image; undefined if those of tars are. */
  imagesOff(): string | undefined;
  /** The registries from which this node takes blobs, or waits to; undefined without --origin-slots. */
  origins(): OriginCounts | undefined;
  /** The volumes that are loaded on demand. */
  onDemand(): LateSummary | undefined;
};

/**
 * Gauges of the daemon's state. The returned function reads the state and sets all of them;
 * prom-client collects metrics concurrently, so that one gauge cannot set another in time.
 */
function observe(registry: Registry, observed: Observed): () => Promise<void> {
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: readonly string[] = []): Gauge =>
    new Gauge({ name, help, labelNames: [...labelNames], registers });

  const cache = gauge('oci_artifact_csi_cache_bytes', 'Bytes of blobs and unpacked layers in the cache');
  const size = gauge('oci_artifact_csi_disk_size_bytes', 'Size of the filesystem of the cache');
  const used = gauge('oci_artifact_csi_disk_used_bytes', 'Bytes in use there');
  const available = gauge('oci_artifact_csi_disk_available_bytes', 'Bytes available there');
  const inodes = gauge('oci_artifact_csi_disk_inodes', 'Inodes there');
  const usedInodes = gauge('oci_artifact_csi_disk_used_inodes', 'Inodes in use there');
  const volumes = gauge('oci_artifact_csi_volumes', 'Volumes published');
  const mounted = gauge('oci_artifact_csi_volumes_mounted', 'Volumes published whose mount is there');
  const refused = gauge(
    'oci_artifact_csi_volumes_refused',
    'Volumes that a policy of the node would refuse now',
  );
  const damaged = gauge(
    'oci_artifact_csi_volumes_damaged',
    'Volumes that show content which was found to be damaged',
  );
  const failing = gauge(
    'oci_artifact_csi_volumes_failing',
    'Volumes that pods wait for and that failed, by the gRPC status code of their last failure',
    ['grpc_status_code'],
  );
  const pulls = gauge('oci_artifact_csi_pulls_in_flight', 'Pulls under way');
  const errors = gauge(
    'oci_artifact_csi_configuration_errors',
    'Files of the configuration that are broken; /readyz names them',
  );
  const images = gauge(
    'oci_artifact_csi_erofs_views',
    'Whether this node mounts tars as EROFS images, which nobody can change: 1 or 0, with the reason',
    ['reason'],
  );
  const sealed = gauge(
    'oci_artifact_csi_fsverity',
    'Whether the cache is sealed by fs-verity, so that nobody can change it: 1 or 0',
  );
  const origins = gauge(
    'oci_artifact_csi_origins',
    'Registries of which this node has a slot, waits for one, or takes blobs without one',
    ['state'],
  );
  const late = observeLate(registry, gauge);
  const prefetch = gauge(
    'oci_artifact_csi_prefetch_artifacts',
    'Artifacts to have before any pod asks, by their state on this node',
    ['state'],
  );
  const labels = ['namespace', 'pod', 'volume', 'reference', 'digest'];
  const info = gauge('oci_artifact_csi_volume_info', 'Which artifact each pod has; always 1', labels);

  return async () => {
    const [bytes, disk, list, underWay] = await Promise.all([
      observed.cacheBytes(),
      observed.disk(),
      observed.volumes(),
      observed.pulls(),
    ]);
    for (const [state, number] of Object.entries(observed.origins() ?? {})) origins.set({ state }, number);
    late.set(observed.onDemand());
    sealed.set(observed.isSealed() ? 1 : 0);
    const off = observed.imagesOff();
    images.reset();
    images.set({ reason: off ?? '' }, off === undefined ? 1 : 0);
    errors.set(observed.problems().length);
    cache.set(bytes);
    size.set(disk.totalBytes);
    used.set(disk.usedBytes);
    available.set(disk.availableBytes);
    inodes.set(disk.totalInodes);
    usedInodes.set(disk.usedInodes);
    pulls.set(underWay.length);
    volumes.set(list.length);
    mounted.set(list.filter(volume => volume.mounted).length);
    refused.set(list.filter(volume => volume.refused !== undefined).length);
    damaged.set(list.filter(volume => volume.damaged !== undefined).length);
    failing.reset();
    for (const code of observed.failing()) failing.inc({ grpc_status_code: nameStatus(code) });
    const entries = observed.prefetch();
    for (const state of prefetchStates)
      prefetch.set({ state }, entries.filter(entry => entry.state === state).length);
    info.reset();
    for (const { pod, volumeId: volume, reference, digest } of list) {
      info.set({ namespace: pod?.namespace ?? '', pod: pod?.name ?? '', volume, reference, digest }, 1);
    }
  };
}

const prefetchStates: readonly PrefetchState[] = ['waiting', 'pulling', 'ready', 'failed', 'elsewhere'];
