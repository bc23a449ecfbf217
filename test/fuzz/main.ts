import { randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { openRandom } from '../support/os/random.ts';
import { temporaryDirectory } from '../support/os/temporary.ts';
import { readOptions } from '../tools/usage.ts';
import { compare, contextOf, rules } from './differences.ts';
import { type Outcome, openExtractor } from './extractor.ts';
import { describeImage, formatLayer, type Image, randomImage } from './image.ts';
import { openProduct } from './product.ts';

/**
 * `npm run fuzz [-- --images 2000 --seed 7]`: builds the views of random images as the daemon does, extracts the images
 * as containerd does, and compares each node. A difference that no rule of differences.ts explains is a failure. The
 * seed of an image reproduces it (`--images 1 --seed <seed>`).
 */

const usage = 'npm run fuzz [-- --images <count> --seed <number>]';
const values = readOptions(usage, {
  images: { type: 'string', default: '2000' },
  seed: { type: 'string', default: String(randomInt(1, 2 ** 30)) },
});
const [images, firstSeed] = [Number(values.images), Number(values.seed)];
if (!(images > 0) || !Number.isInteger(firstSeed)) {
  console.error(`usage: ${usage}`);
  process.exit(2);
}

await using directory = await temporaryDirectory();
await using product = await openProduct(directory.path);
await using containerd = openExtractor();

async function showBoth(image: Image): Promise<readonly [ours: Outcome, theirs: Outcome]> {
  const sources = image.map((entries, index) => {
    const path = join(directory.path, `layer-${index}.tar`);
    writeFileSync(path, formatLayer(entries));
    return path;
  });
  const root = join(directory.path, 'root');
  mkdirSync(root);
  const ours = await product.show(sources, path => containerd.extract(path, []));
  const theirs = await containerd.extract(root, sources);
  await rm(root, { recursive: true });
  return [ours, theirs];
}

const explained = new Map(rules.map(rule => [rule, 0]));
let trees = 0;
let failures = 0;
const start = performance.now();
console.log(`${images} images, seeds from ${firstSeed}`);
for (let seed = firstSeed; seed < firstSeed + images; seed++) {
  const image = randomImage(openRandom(seed));
  const context = contextOf(image, BigInt(Date.now() - 1000) * 1_000_000n);
  const [ours, theirs] = await showBoth(image);
  if ('nodes' in ours && 'nodes' in theirs) trees++;
  let isExplained = true;
  for (const difference of compare(ours, theirs)) {
    const rule = rules.find(one => one.explains(difference, context));
    if (rule !== undefined) explained.set(rule, (explained.get(rule) ?? 0) + 1);
    else {
      isExplained = false;
      const { what, path, ours: one, theirs: other } = difference;
      console.error(`seed ${seed}: the ${what} of "${path}" is "${one}", and "${other}" under containerd`);
    }
  }
  if (isExplained) continue;
  failures++;
  console.error(describeImage(image));
}

const seconds = ((performance.now() - start) / 1000).toFixed(0);
console.log(
  `${images} images in ${seconds} s, ${trees} of them trees on both sides; differences that are meant:`,
);
for (const [{ name, reason }, count] of explained)
  console.log(`${String(count).padStart(7)}  ${name}: ${reason}`);
if (failures > 0) {
  console.error(`${failures} images differ and should not`);
  process.exitCode = 1;
}
