import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from '../../support/os/temporary.ts';
import { installTools } from '../install.ts';
import { releaseChart } from './chart.ts';
import { releaseImage } from './image.ts';
import { parseReleaseOptions } from './options.ts';

/**
 * `npm run release -- REGISTRY`: builds the image and the chart of the commit, pushes and signs them, and attests the
 * SBOM of each platform. Everything comes from a clone of the commit and `npm ci`. To complete an interrupted release,
 * repeat it. It prints each tag with its digest.
 */

const root = fileURLToPath(new URL('../../..', import.meta.url));

async function release(args: readonly string[]): Promise<void> {
  const options = parseReleaseOptions(args, readFileSync(join(root, 'Dockerfile'), 'utf8'));
  if (execFileSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8' }) !== '')
    throw new Error(
      'the working tree differs from its commit, which is what a release is built from: commit first',
    );
  for (const group of ['test', 'release'] as const) installTools(group);
  if (options.isTriedOnArm64) installTools('arm64');
  await using directory = await temporaryDirectory();
  const source = join(directory.path, 'source');
  execFileSync('git', ['clone', '--quiet', root, source]);
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: source, stdio: ['ignore', 2, 2] });
  const image = await releaseImage(source, directory.path, options);
  for (const tag of image.tags) console.log(`${image.repository}:${tag}@${image.digest}`);
  if (options.isRefresh) return;
  const chart = await releaseChart(source, image, directory.path, options);
  console.log(`${chart.repository}:${chart.version}@${chart.digest}`);
}

try {
  await release(process.argv.slice(2));
} catch (error) {
  console.error(`release: ${(error as Error).message}`);
  process.exitCode = 1;
}
