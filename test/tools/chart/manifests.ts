import { renderChart } from './render.ts';

const header = `# Written by npm run chart, from charts/oci-artifact-csi with its default values. kustomization.yaml says how to name
# your image: the one here is not published yet.
apiVersion: v1
kind: Namespace
metadata:
  name: oci-artifact-csi
  labels:
    # The driver mounts volumes, and so its container is privileged.
    pod-security.kubernetes.io/enforce: privileged
    pod-security.kubernetes.io/audit: privileged
    pod-security.kubernetes.io/warn: privileged
`;

/** The text of deploy/oci-artifact-csi.yaml: the chart for those who do not use Helm, without the labels of Helm. */
export function toPlainManifests(): string {
  const rendered = renderChart({ args: ['--skip-tests'] })
    .replaceAll(/^# Source: .*\n/gm, '')
    .replaceAll(/^ *(?:helm\.sh\/chart|app\.kubernetes\.io\/managed-by): .*\n/gm, '');
  return header + rendered;
}
