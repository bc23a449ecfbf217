import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { findMetrics } from '../support/project/documents.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { parseManifests, theOnly, verifyManifests } from '../support/release/manifests.ts';
import { dashboardExpressions, toDashboard } from '../tools/chart/dashboard.ts';
import { chartDirectory, renderChart } from '../tools/chart/render.ts';
import { kubernetesSchemas, kubernetesVersions, operatorSchemas } from '../tools/chart/schemas.ts';

const all =
  'podMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true,networkPolicy.enabled=true';
const text = readFileSync(join(chartDirectory, 'files/rules.yaml'), 'utf8');

type Rule = { readonly alert: string; readonly expr: string };
const rules = (parse(text) as { groups: readonly { rules: readonly Rule[] }[] }).groups.flatMap(
  group => group.rules,
);

type Alert = { readonly labels: Readonly<Record<string, string>>; readonly annotations: object };

/** Runs test/tools/go/monitoring/rulecheck. @throws Error with what it says. */
function rulecheck(request: object): readonly (readonly (readonly Alert[])[])[] {
  const output = execFileSync(toolPath('rulecheck'), {
    input: JSON.stringify(request),
    encoding: 'utf8',
    stdio: 'pipe',
  });
  return JSON.parse(output) as readonly (readonly (readonly Alert[])[])[];
}

const labels = 'job="oci-artifact-csi", node="n1", pod="driver-1"';

/** A node that is well for three hours, but for the series that are given. */
function load(different: Readonly<Record<string, string>>): readonly string[] {
  const series = {
    [`up{${labels}}`]: '1x180',
    [`oci_artifact_csi_disk_size_bytes{${labels}}`]: '100x180',
    [`oci_artifact_csi_disk_available_bytes{${labels}}`]: '40x180',
    [`oci_artifact_csi_disk_inodes{${labels}}`]: '1000x180',
    [`oci_artifact_csi_disk_used_inodes{${labels}}`]: '500x180',
    [`oci_artifact_csi_configuration_errors{${labels}}`]: '0x180',
    [`oci_artifact_csi_volumes{${labels}}`]: '3x180',
    [`oci_artifact_csi_volumes_mounted{${labels}}`]: '3x180',
    [`oci_artifact_csi_volumes_damaged{${labels}}`]: '0x180',
    [`oci_artifact_csi_volumes_refused{${labels}}`]: '0x180',
    [`oci_artifact_csi_cache_damage_total{${labels}, kind="blob"}`]: '2x180',
    [`oci_artifact_csi_log_lines_dropped_total{${labels}}`]: '0x180',
    [`oci_artifact_csi_on_demand_views{${labels}, state="loading"}`]: '1x180',
    [`oci_artifact_csi_on_demand_views{${labels}, state="stalled"}`]: '0x20 1x3 0x157',
    [`oci_artifact_csi_on_demand_failed_reads_total{${labels}}`]: '2x180',
    [`oci_artifact_csi_on_demand_holder{${labels}, reason=""}`]: '1x180',
    [publishes('OK')]: '0+2x180',
    [publishes('Aborted')]: '0+1x180',
    ...different,
  };
  return Object.entries(series).map(([name, values]) => `${name} ${values}`);
}

function publishes(code: string): string {
  return `csi_plugin_operations_seconds_count{${labels}, driver_name="oci-artifact.csi.internal", method_name="/csi.v1.Node/NodePublishVolume", grpc_status_code="${code}"}`;
}

/** What makes each alert fire, the last minute at which it does not, and the first at which it does. */
const causes: Readonly<Record<string, readonly [Readonly<Record<string, string>>, number, number]>> = {
  OciArtifactDriverDown: [{ [`up{${labels}}`]: '1x60 0x120' }, 65, 66],
  OciArtifactPublishFails: [{ [publishes('Unavailable')]: '0x60 0+1x120' }, 70, 90],
  OciArtifactVolumeRefused: [{ [publishes('PermissionDenied')]: '0x60 0+1x120' }, 80, 120],
  OciArtifactNoRoom: [{ [publishes('ResourceExhausted')]: '0x60 0+1x120' }, 63, 70],
  OciArtifactDiskAlmostFull: [
    { [`oci_artifact_csi_disk_available_bytes{${labels}}`]: '40x60 11x120' },
    74,
    77,
  ],
  OciArtifactInodesAlmostUsed: [
    { [`oci_artifact_csi_disk_used_inodes{${labels}}`]: '500x60 890x120' },
    74,
    77,
  ],
  OciArtifactConfigurationBroken: [
    { [`oci_artifact_csi_configuration_errors{${labels}}`]: '0x60 2x120' },
    69,
    72,
  ],
  OciArtifactVolumesDamaged: [{ [`oci_artifact_csi_volumes_damaged{${labels}}`]: '0x60 1x120' }, 60, 63],
  OciArtifactCacheDamaged: [
    { [`oci_artifact_csi_cache_damage_total{${labels}, kind="blob"}`]: '2x60 3x120' },
    59,
    62,
  ],
  OciArtifactVolumesRefused: [{ [`oci_artifact_csi_volumes_refused{${labels}}`]: '0x60 1x120' }, 74, 77],
  OciArtifactVolumesNotMounted: [{ [`oci_artifact_csi_volumes_mounted{${labels}}`]: '3x60 1x120' }, 74, 77],
  OciArtifactOnDemandStalled: [
    { [`oci_artifact_csi_on_demand_views{${labels}, state="stalled"}`]: '0x60 1x120' },
    64,
    67,
  ],
  OciArtifactOnDemandReadsFail: [
    { [`oci_artifact_csi_on_demand_failed_reads_total{${labels}}`]: '2x60 3x120' },
    59,
    62,
  ],
  OciArtifactOnDemandHolderGone: [
    {
      [`oci_artifact_csi_on_demand_holder{${labels}, reason=""}`]: '1x60 stale',
      [`oci_artifact_csi_on_demand_holder{${labels}, reason="no socket"}`]: '_x61 0x5 stale',
      [`oci_artifact_csi_on_demand_holder{${labels}, reason="refused"}`]: '_x67 0x113',
    },
    70,
    73,
  ],
  OciArtifactPrefetchFails: [
    { [`oci_artifact_csi_prefetch_artifacts{${labels}, state="failed"}`]: '0x60 1x120' },
    119,
    122,
  ],
  OciArtifactLogDropped: [
    { [`oci_artifact_csi_log_lines_dropped_total{${labels}}`]: '0x60 0+5x120' },
    59,
    63,
  ],
};

describe('the alerts', needs('rulecheck'), () => {
  test('each have a cause that is tested', () => {
    assert.deepEqual(
      rules.map(({ alert }) => alert),
      Object.keys(causes),
    );
  });

  test('are silent on a node that is well', () => {
    const [firing] = rulecheck({ rules: text, scenarios: [{ series: load({}), at: [30, 90, 180] }] });
    assert.deepEqual(firing, [[], [], []]);
  });

  for (const [name, [series, before, after]] of Object.entries(causes))
    test(`fire for their cause, and no other does: ${name}`, () => {
      const [firing] = rulecheck({
        rules: text,
        scenarios: [{ series: load(series), at: [before, after] }],
      });
      const [early, late] = firing ?? [];
      assert.deepEqual(early, []);
      assert.deepEqual(
        late?.map(alert => alert.labels['alertname']),
        [name],
      );
      assert.equal(late?.[0]?.labels['node'], 'n1');
      assert.doesNotMatch(JSON.stringify(late?.[0]?.annotations), /no value|\{\{/i);
    });
});

describe('the dashboard', needs('rulecheck'), () => {
  test('is what its source generates', () => {
    assert.equal(readFileSync(join(chartDirectory, 'files/dashboard.json'), 'utf8'), toDashboard());
  });

  test('has expressions that Prometheus takes', () => {
    rulecheck({ expressions: dashboardExpressions() });
    assert.throws(() => rulecheck({ expressions: ['sum(up'] }), /unclosed left parenthesis/);
  });

  test('has panels that do not lie on each other', () => {
    const { panels } = JSON.parse(toDashboard()) as {
      panels: readonly { gridPos: { x: number; y: number; w: number; h: number } }[];
    };
    const taken = new Set<string>();
    for (const { gridPos } of panels)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(x < 24 && !taken.has(`${x},${y}`), `${x},${y}`);
          taken.add(`${x},${y}`);
        }
  });
});

test('alerts and dashboard name metrics that docs/flags.md describes, and only these', () => {
  const known = findMetrics(readFileSync(join(chartDirectory, '../../docs/flags.md'), 'utf8'));
  const named = findMetrics([...rules.map(({ expr }) => expr), ...dashboardExpressions()].join('\n'));
  assert.ok(named.length > 15);
  assert.deepEqual(
    named.filter(name => !known.includes(name.replace(/_seconds_(?:count|bucket)$/, '_seconds'))),
    [],
  );
});

describe('the objects for monitoring', needs('helm', 'kubeconform'), () => {
  test('are valid, and none is there unless it is wanted', () => {
    for (const kubernetes of kubernetesVersions) {
      const rendered = renderChart({ kubernetes, args: ['--set', all] });
      verifyManifests(rendered, [kubernetesSchemas(kubernetes), operatorSchemas()]);
    }
    const kinds = (args: readonly string[]): readonly string[] =>
      parseManifests(renderChart({ args })).map(({ kind }) => kind);
    const added = ['NetworkPolicy', 'ConfigMap', 'PodMonitor', 'PrometheusRule'];
    for (const kind of added) {
      assert.ok(kinds(['--set', all]).includes(kind), kind);
      assert.ok(!kinds([]).includes(kind), kind);
    }
  });

  test('name the driver and the limit of the release', needs('rulecheck'), () => {
    const args = ['--set', `${all},driverName=other.example,diskMax=85`];
    const manifests = parseManifests(renderChart({ args }));
    const { groups } = theOnly(manifests, 'PrometheusRule')['spec'] as { groups: unknown };
    const series = load({
      [`oci_artifact_csi_disk_available_bytes{${labels}}`]: '16x180',
      [publishes('ResourceExhausted').replace('oci-artifact.csi.internal', 'other.example')]: '0+1x180',
    });
    const [firing] = rulecheck({ rules: stringify({ groups }), scenarios: [{ series, at: [60] }] });
    assert.deepEqual(firing?.[0]?.map(alert => alert.labels['alertname']).toSorted(), [
      'OciArtifactDiskAlmostFull',
      'OciArtifactNoRoom',
    ]);
    assert.doesNotMatch(renderChart({ args }), /oci-artifact\.csi\.internal/);
  });

  test('are refused where they would do nothing', () => {
    const args = ['--set', 'networkPolicy.enabled=true,hostNetwork=true'];
    assert.throws(() => renderChart({ args }), /does not apply to pods with hostNetwork/);
  });
});
