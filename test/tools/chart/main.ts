import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { readOptions } from '../usage.ts';
import { packChart } from './archive.ts';
import { toDashboard } from './dashboard.ts';
import { toPlainManifests } from './manifests.ts';
import { chartDirectory } from './render.ts';
import { readValues, withTable } from './values-table.ts';

/**
 * `npm run chart`: writes what is generated from the chart. With `-- --pack DIR`, also its archive, and with `--image
 * REPOSITORY@DIGEST` that archive installs this image.
 */

const root = fileURLToPath(new URL('../../..', import.meta.url));
const given = readOptions('npm run chart [-- --pack DIR [--image REPOSITORY@DIGEST]]', {
  pack: { type: 'string' },
  image: { type: 'string' },
});

const readme = join(chartDirectory, 'README.md');
const values = readValues(readFileSync(join(chartDirectory, 'values.yaml'), 'utf8'));
writeFileSync(readme, withTable(readFileSync(readme, 'utf8'), values));
writeFileSync(join(chartDirectory, 'files/dashboard.json'), toDashboard());
writeFileSync(join(root, 'deploy/oci-artifact-csi.yaml'), toPlainManifests());

if (given.pack !== undefined) {
  const [repository, digest] = given.image?.split('@') ?? [];
  if (given.image !== undefined && (!repository || !digest)) throw new Error('--image REPOSITORY@DIGEST');
  const archive = await packChart(root, repository && digest ? { repository, digest } : undefined);
  mkdirSync(given.pack, { recursive: true });
  const path = join(given.pack, archive.name);
  writeFileSync(path, archive.bytes);
  process.stdout.write(`${path}\n`);
}
