import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { toolPath } from '../../support/project/tools.ts';
import { kubernetesVersions } from './schemas.ts';

const root: string = fileURLToPath(new URL('../../..', import.meta.url));

export const chartDirectory: string = join(root, 'charts/oci-artifact-csi');

export type RenderOptions = {
  readonly helm?: 'helm' | 'helm4';
  readonly release?: string;
  readonly namespace?: string;
  readonly kubernetes?: string;
  /** Further arguments: `--set`, `--values`, `--api-versions`. */
  readonly args?: readonly string[];
  /** A packed chart instead of the directory. */
  readonly chart?: string;
};

/**
 * What `helm template` prints.
 *
 * @throws Error with helm's message, such as what the schema refuses.
 */
export function renderChart(options: RenderOptions = {}): string {
  const { helm = 'helm', release = 'oci-artifact-csi', namespace = 'oci-artifact-csi', args = [] } = options;
  const { kubernetes = kubernetesVersions.at(-1) ?? '', chart = chartDirectory } = options;
  const words = ['template', release, chart, '--namespace', namespace, '--kube-version', kubernetes];
  return execFileSync(toolPath(helm), [...words, ...args], { encoding: 'utf8', stdio: 'pipe' });
}
