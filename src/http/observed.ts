import { Gauge, type Registry } from 'prom-client';
import type { PrefetchState, PrefetchStatus } from '../ports/prefetch.ts';
import type { DiskUsage } from '../ports/store.ts';
import type { VolumeStatus } from '../ports/usecases.ts';

/** The state of an open node that each scrape reads. */
export type Observed = {
  cacheBytes(): Promise<number>;
  disk(): Promise<DiskUsage>;
  volumes(): Promise<readonly VolumeStatus[]>;
  /** Configuration files that are broken. */
  problems(): readonly string[];
  /** The entries of --prefetch. */
  prefetch(): readonly PrefetchStatus[];
  /** Whether fs-verity seals the cache. */
  isSealed(): boolean;
};

/**
 * Gauges of the daemon's state. The returned function reads the state and sets all of them;
 * prom-client collects metrics concurrently, so that one gauge cannot set another in time.
 */
export function observe(registry: Registry, observed: Observed): () => Promise<void> {
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
  const errors = gauge(
    'oci_artifact_csi_configuration_errors',
    'Files of the configuration that are broken; /readyz names them',
  );
  const sealed = gauge(
    'oci_artifact_csi_fsverity',
    'Whether the cache is sealed by fs-verity, so that nobody can change it: 1 or 0',
  );
  const prefetch = gauge(
    'oci_artifact_csi_prefetch_artifacts',
    'Artifacts of the list of --prefetch, by their state on this node',
    ['state'],
  );
  const labels = ['namespace', 'pod', 'volume', 'reference', 'digest'];
  const info = gauge('oci_artifact_csi_volume_info', 'Which artifact each pod has; always 1', labels);

  return async () => {
    const [bytes, disk, list] = await Promise.all([
      observed.cacheBytes(),
      observed.disk(),
      observed.volumes(),
    ]);
    sealed.set(observed.isSealed() ? 1 : 0);
    errors.set(observed.problems().length);
    cache.set(bytes);
    size.set(disk.totalBytes);
    used.set(disk.usedBytes);
    available.set(disk.availableBytes);
    inodes.set(disk.totalInodes);
    usedInodes.set(disk.usedInodes);
    volumes.set(list.length);
    mounted.set(list.filter(volume => volume.mounted).length);
    refused.set(list.filter(volume => volume.refused !== undefined).length);
    damaged.set(list.filter(volume => volume.damaged !== undefined).length);
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
