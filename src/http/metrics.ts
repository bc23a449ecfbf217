import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { EventOutcome } from '../ports/events.ts';
import type { Meter } from '../ports/meter.ts';
import { type Observed, observe } from './observed.ts';
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
  const inFlight = new Gauge({
    name: 'oci_artifact_csi_pulls_in_flight',
    help: 'Pulls under way',
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
      const code = statusNames[status] ?? 'Unknown';
      operations.observe({ driver_name: driverName, method_name: method, grpc_status_code: code }, seconds);
    },
    podEvent: outcome => events.inc({ outcome }),
    bytesPulled: (from, bytes) => pulled.inc({ registry: labelOf(from) }, bytes),
    damageFound: kind => damage.inc({ kind }),
    pullStarted: () => inFlight.inc(),
    pullEnded(outcome) {
      inFlight.dec();
      pulls.inc({ outcome });
    },
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
