import { Counter, type Gauge, type Registry } from 'prom-client';
import type { LateSummary } from '../ports/on-demand.ts';

/** Series of volumes that are loaded while they are mounted. */
export function observeLate(
  registry: Registry,
  gauge: (name: string, help: string, labelNames?: readonly string[]) => Gauge,
): { set(summary: LateSummary | undefined): void } {
  const volumes = gauge(
    'oci_artifact_csi_on_demand_views',
    'Artifacts that volumes show although not all of their content was here, by state',
    ['state'],
  );
  const missing = gauge(
    'oci_artifact_csi_on_demand_missing_bytes',
    'Bytes of them that are not on the node yet',
  );
  const waiting = gauge(
    'oci_artifact_csi_on_demand_waiting_reads',
    'Reads of missing content that wait for it now',
  );
  const failed = new Counter({
    name: 'oci_artifact_csi_on_demand_failed_reads_total',
    help: 'Reads of missing content that failed (EIO)',
    registers: [registry],
  });
  const supported = gauge(
    'oci_artifact_csi_on_demand',
    'Whether this node loads volumes on demand that ask for it: 1 or 0, with the reason',
    ['reason'],
  );
  const holder = gauge(
    'oci_artifact_csi_on_demand_holder',
    'Whether the holder of --holder is reached: 1 or 0, with the reason',
    ['reason'],
  );
  return {
    set(summary) {
      if (summary === undefined) return;
      const {
        loading,
        stalled,
        complete,
        missingBytes,
        waitingReads,
        failedReads,
        support,
        holder: held,
      } = summary;
      for (const [state, count] of Object.entries({ loading, stalled, complete }))
        volumes.set({ state }, count);
      missing.set(missingBytes);
      waiting.set(waitingReads);
      failed.reset();
      failed.inc(failedReads);
      holder.reset();
      if (held !== undefined) holder.set({ reason: held.problem ?? '' }, held.problem === undefined ? 1 : 0);
      supported.reset();
      if (support.kind === 'off') supported.set({ reason: support.reason }, 0);
      else if (support.kind === 'on') supported.set({ reason: '' }, 1);
    },
  };
}
