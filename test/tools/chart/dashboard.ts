/** A panel: its title, its unit in Grafana, and its expressions with the legend of each. */
type Panel = {
  readonly title: string;
  readonly unit?: string;
  readonly kind?: 'stat' | 'table';
  readonly says?: string;
  readonly targets: Readonly<Record<string, string>>;
};

/** As the PodMonitor of the chart labels what it scrapes. */
const on = 'job="oci-artifact-csi", node=~"$node"';
const publish =
  'driver_name="oci-artifact.csi.internal", method_name="/csi.v1.Node/NodePublishVolume", node=~"$node"';

const rows: Readonly<Record<string, readonly Panel[]>> = {
  Now: [
    { title: 'Nodes with the driver', kind: 'stat', targets: { '': `sum(up{${on}})` } },
    { title: 'Volumes', kind: 'stat', targets: { '': `sum(oci_artifact_csi_volumes{${on}})` } },
    {
      title: 'Pulls under way',
      kind: 'stat',
      targets: { '': `sum(oci_artifact_csi_pulls_in_flight{${on}})` },
    },
    {
      title: 'Broken configuration files',
      kind: 'stat',
      targets: { '': `sum(oci_artifact_csi_configuration_errors{${on}})` },
    },
    {
      title: 'Damaged volumes',
      kind: 'stat',
      targets: { '': `sum(oci_artifact_csi_volumes_damaged{${on}})` },
    },
    {
      title: 'Volumes that the policy would refuse',
      kind: 'stat',
      targets: { '': `sum(oci_artifact_csi_volumes_refused{${on}})` },
    },
  ],
  Volumes: [
    {
      title: 'Publishes by outcome',
      unit: 'ops',
      says: 'Aborted is a pull that goes on, or has not begun: kubelet asks again.',
      targets: {
        '{{grpc_status_code}}': `sum by (grpc_status_code) (rate(csi_plugin_operations_seconds_count{${publish}}[$__rate_interval]))`,
      },
    },
    {
      title: 'Volumes that fail',
      says: 'Pods wait for them. `oci-artifact-csi status` on their node has the reasons.',
      targets: {
        '{{grpc_status_code}}': `sum by (grpc_status_code) (oci_artifact_csi_volumes_failing{${on}})`,
      },
    },
    {
      title: 'Duration of a publish',
      unit: 's',
      targets: Object.fromEntries(
        [0.5, 0.95, 0.99].map(quantile => [
          `${quantile * 100} %`,
          `histogram_quantile(${quantile}, sum by (le) (rate(csi_plugin_operations_seconds_bucket{${publish}, grpc_status_code="OK"}[$__rate_interval])))`,
        ]),
      ),
    },
    {
      title: 'Volumes by node',
      targets: { '{{node}}': `sum by (node) (oci_artifact_csi_volumes_mounted{${on}})` },
    },
    {
      title: 'Which artifact each pod has',
      kind: 'table',
      targets: {
        '': 'sum by (namespace, pod, volume, reference, digest, node) (oci_artifact_csi_volume_info{job="oci-artifact-csi", node=~"$node"})',
      },
    },
  ],
  Pulls: [
    {
      title: 'Bytes from registries',
      unit: 'Bps',
      targets: {
        '{{registry}}': `sum by (registry) (rate(oci_artifact_csi_pulled_bytes_total{${on}}[$__rate_interval]))`,
      },
    },
    {
      title: 'Downloads that ended',
      unit: 'ops',
      targets: {
        '{{outcome}}': `sum by (outcome) (rate(oci_artifact_csi_pulls_total{${on}}[$__rate_interval]))`,
      },
    },
    {
      title: 'Listed artifacts',
      says: 'Of --prefetch.',
      targets: { '{{state}}': `sum by (state) (oci_artifact_csi_prefetch_artifacts{${on}})` },
    },
  ],
  'Loading on demand': [
    {
      title: 'Artifacts by state',
      says: 'Of volumes with loading: onDemand. Of those that are stalled, reads of missing content fail.',
      targets: { '{{state}}': `sum by (state) (oci_artifact_csi_on_demand_views{${on}})` },
    },
    {
      title: 'Content that is not here yet',
      unit: 'bytes',
      targets: { '{{node}}': `sum by (node) (oci_artifact_csi_on_demand_missing_bytes{${on}})` },
    },
    {
      title: 'Reads that wait for content',
      targets: { '{{node}}': `sum by (node) (oci_artifact_csi_on_demand_waiting_reads{${on}})` },
    },
    {
      title: 'Reads that failed',
      targets: {
        '{{node}}': `sum by (node) (increase(oci_artifact_csi_on_demand_failed_reads_total{${on}}[$__rate_interval]))`,
      },
    },
    {
      title: 'Nodes that load on demand, and why others do not',
      says: 'Of those where a pod has asked for it.',
      targets: {
        on: `sum(oci_artifact_csi_on_demand{${on}})`,
        '{{reason}}': `count by (reason) (oci_artifact_csi_on_demand{${on}} == 0)`,
      },
    },
    {
      title: 'Nodes that reach their holder, and why others do not',
      says: 'With holder.enabled.',
      targets: {
        reached: `sum(oci_artifact_csi_on_demand_holder{${on}})`,
        '{{reason}}': `count by (reason) (oci_artifact_csi_on_demand_holder{${on}} == 0)`,
      },
    },
  ],
  'Cache and disk': [
    {
      title: 'Cache',
      unit: 'bytes',
      targets: { '{{node}}': `sum by (node) (oci_artifact_csi_cache_bytes{${on}})` },
    },
    {
      title: 'Disk usage',
      unit: 'percentunit',
      says: 'As kubelet counts it.',
      targets: {
        '{{node}}': `1 - sum by (node) (oci_artifact_csi_disk_available_bytes{${on}}) / sum by (node) (oci_artifact_csi_disk_size_bytes{${on}})`,
      },
    },
    {
      title: 'Inode usage',
      unit: 'percentunit',
      targets: {
        '{{node}}': `sum by (node) (oci_artifact_csi_disk_used_inodes{${on}}) / sum by (node) (oci_artifact_csi_disk_inodes{${on}})`,
      },
    },
    {
      title: 'Damaged content found',
      targets: {
        '{{node}} {{kind}}': `sum by (node, kind) (increase(oci_artifact_csi_cache_damage_total{${on}}[$__range]))`,
      },
    },
  ],
  'The daemon': [
    {
      title: 'CPU',
      unit: 'percentunit',
      targets: { '{{node}}': `sum by (node) (rate(process_cpu_seconds_total{${on}}[$__rate_interval]))` },
    },
    {
      title: 'Memory',
      unit: 'bytes',
      targets: { '{{node}}': `sum by (node) (process_resident_memory_bytes{${on}})` },
    },
    {
      title: 'Events of pods',
      unit: 'ops',
      says: 'Of --events.',
      targets: {
        '{{outcome}}': `sum by (outcome) (rate(oci_artifact_csi_pod_events_total{${on}}[$__rate_interval]))`,
      },
    },
    {
      title: 'Dropped lines of the log',
      targets: {
        '{{node}}': `sum by (node) (increase(oci_artifact_csi_log_lines_dropped_total{${on}}[$__range]))`,
      },
    },
  ],
};

/** The expressions of all panels, with Grafana's own variables replaced by what they stand for. */
export function dashboardExpressions(): readonly string[] {
  return Object.values(rows)
    .flat()
    .flatMap(({ targets }) => Object.values(targets))
    .map(text => text.replaceAll(/\$__rate_interval|\$__range/g, '5m').replaceAll('$node', '.*'));
}

const width = 24;

/** The text of files/dashboard.json: a dashboard as Grafana imports it. */
export function toDashboard(): string {
  const panels: object[] = [];
  let y = 0;
  const datasource = { type: 'prometheus', uid: '${datasource}' };
  for (const [title, row] of Object.entries(rows)) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: width, h: 1 },
    });
    y++;
    const isStats = row.every(({ kind }) => kind === 'stat');
    const [w, h] = isStats ? [width / row.length, 4] : [width / 2, 8];
    for (const [
      index,
      { title: name, unit = 'short', kind = 'timeseries', says, targets },
    ] of row.entries()) {
      const x = (index * w) % width;
      panels.push({
        id: panels.length + 1,
        type: kind,
        title: name,
        ...(says === undefined ? {} : { description: says }),
        datasource,
        gridPos: { x, y: y + Math.floor((index * w) / width) * h, w, h },
        fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
        options: {},
        targets: Object.entries(targets).map(([legendFormat, expr], nth) => ({
          refId: String.fromCodePoint(65 + nth),
          datasource,
          expr,
          legendFormat,
          ...(kind === 'timeseries' ? {} : { instant: true }),
          ...(kind === 'table' ? { format: 'table' } : {}),
        })),
      });
    }
    y += Math.ceil((row.length * w) / width) * h;
  }
  const dashboard = {
    title: 'OCI artifacts',
    uid: 'oci-artifact-csi',
    tags: ['csi', 'oci-artifact-csi'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: {
      list: [
        { name: 'datasource', type: 'datasource', query: 'prometheus' },
        {
          name: 'node',
          type: 'query',
          datasource,
          query: 'label_values(up{job="oci-artifact-csi"}, node)',
          refresh: 2,
          includeAll: true,
          allValue: '.*',
          multi: true,
          current: { text: 'All', value: '$__all' },
        },
      ],
    },
    panels,
  };
  return `${JSON.stringify(dashboard, undefined, 1)}\n`;
}
