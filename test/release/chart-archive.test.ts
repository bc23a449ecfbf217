import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, cp, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { needs, toolPath } from '../support/project/tools.ts';
import { packChart } from '../tools/chart/archive.ts';
import { renderChart } from '../tools/chart/render.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('two copies of the chart with other modes and times give the same archive', async () => {
  await using directory = await temporaryDirectory();
  await cp(join(root, 'charts'), join(directory.path, 'charts'), { recursive: true });
  await cp(join(root, 'LICENSE'), join(directory.path, 'LICENSE'));
  const values = join(directory.path, 'charts/oci-artifact-csi/values.yaml');
  await chmod(values, 0o600);
  await utimes(values, 1, 1);
  const [here, there] = [await packChart(root), await packChart(directory.path)];
  assert.ok(here.bytes.equals(there.bytes));
  await writeFile(values, 'image: {}\n');
  assert.ok(!here.bytes.equals((await packChart(directory.path)).bytes));
});

test(
  'Helm reads the archive, and installs the image that it was packed for',
  needs('helm', 'helm4'),
  async () => {
    await using directory = await temporaryDirectory();
    const digest = `sha256:${'cd'.repeat(32)}`;
    for (const image of [undefined, { repository: 'registry.example.com:5000/csi', digest }]) {
      const { name, bytes } = await packChart(root, image);
      const chart = join(directory.path, name);
      await writeFile(chart, bytes);
      for (const helm of ['helm', 'helm4'] as const) {
        execFileSync(toolPath(helm), ['lint', '--strict', chart], { stdio: 'pipe' });
        const shown = execFileSync(toolPath(helm), ['show', 'all', chart], {
          encoding: 'utf8',
          stdio: 'pipe',
        });
        assert.match(shown, /^# oci-artifact-csi$/m);
        const rendered = renderChart({ helm, chart });
        if (image === undefined) assert.equal(rendered, renderChart({ helm }));
        else assert.match(rendered, new RegExp(`image: ${image.repository}@${digest}$`, 'm'));
      }
    }
  },
);
